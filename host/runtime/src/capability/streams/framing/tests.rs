//! Archives of other programs are taken, whatever the parts that they come in; what is none is refused where it goes wrong.

use super::*;

/// A header as GNU tar and Go write it.
fn header(kind: u8, size: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    block[..4].copy_from_slice(b"name");
    block[SIZE.0..SIZE.0 + size.len()].copy_from_slice(size);
    block[TYPE_OFFSET] = kind;
    block[CHECKSUM.0..CHECKSUM.1].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[CHECKSUM.0..CHECKSUM.1].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(mut content: Vec<u8>) -> Vec<u8> {
    content.resize(content.len().next_multiple_of(BLOCK_BYTES), 0);
    content
}

fn file(kind: u8, content: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}\0", content.len());
    [header(kind, size.as_bytes()), padded(content.to_vec())].concat()
}

/// A PAX record; its length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| *length == rest + length.to_string().len());
    let begin = format!("{} {key}=", length.unwrap());
    [begin.as_bytes(), value, b"\n"].concat()
}

fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 2 * BLOCK_BYTES]].concat()
}

/// Takes bytes in parts of this size; the entries, or what is wrong.
fn framed(bytes: &[u8], part: usize) -> Result<u64, Unframed> {
    let mut framing = Framing::new();
    for part in bytes.chunks(part) {
        framing.take(part)?;
    }
    framing.end()?;
    assert_eq!(framing.bytes(), bytes.len() as u64);
    Ok(framing.entries())
}

/// What an archive is, its bytes, and how many entries it has.
type Good = (&'static str, Vec<u8>, u64);
/// What is no archive, where it goes wrong, and what the error says.
type Bad = (&'static str, Vec<u8>, u64, &'static str);

fn plain() -> Vec<Good> {
    let mut binary = [0; 12];
    (binary[0], binary[11]) = (0x80, 5);
    let binary = [header(b'0', &binary), padded(b"12345".to_vec())];
    let links = [header(b'5', b""), header(b'1', b"0")];
    let long = [file(b'L', &[b'n'; 300]), file(b'0', b"x")];
    vec![
        ("an empty one", archive(&[]), 0),
        ("more zeros", vec![0; 20 * BLOCK_BYTES], 0),
        ("a file", archive(&[file(b'0', b"hello")]), 1),
        ("an old file", archive(&[file(0, &[7; 513])]), 1),
        ("a directory and a link", archive(&links), 2),
        ("a long name", archive(&long), 1),
        ("a binary size", archive(&binary), 1),
    ]
}

fn with_records() -> Vec<Good> {
    let value = [&[b'\n'; 700][..], b"=\0size"].concat();
    let xattr = record("SCHILY.xattr.user.x", &value);
    let of = |records: &[u8], content: Vec<u8>| archive(&[file(b'x', records), content]);
    let file = file(b'0', b"hello");
    let sized = [header(b'0', b"0"), padded(b"123456".to_vec())].concat();
    let global = archive(&[self::file(b'g', b"10 a=size\n"), file.clone()]);
    vec![
        ("an attribute", of(&xattr, file.clone()), 1),
        ("NULs behind", of(b"9 a=1234\n\0\0", file.clone()), 1),
        ("a size", of(b"9 size=6\n", sized), 1),
        (
            "a size that is taken back",
            of(b"9 size=6\n8 size=\n", file),
            1,
        ),
        ("records of all", global, 1),
    ]
}

#[test]
fn archives_are_taken_in_parts_of_any_size() {
    for (what, bytes, entries) in [plain(), with_records()].concat() {
        for part in [1, 7, 511, 512, 513, 4096] {
            let found = framed(&bytes, part);
            assert_eq!(found, Ok(entries), "{what} in parts of {part}");
        }
    }
}

#[track_caller]
fn are_refused(cases: Vec<Bad>) {
    for (what, bytes, at, says) in cases {
        let wrong = framed(&bytes, BLOCK_BYTES).expect_err(what);
        assert!(wrong.what.contains(says), "{what}: {wrong}");
        assert_eq!(wrong.at, at, "{what}: {wrong}");
    }
}

#[test]
fn an_archive_has_an_end_and_nothing_behind_it() {
    let block = BLOCK_BYTES as u64;
    let file = file(b'0', b"hello");
    let half = [file.clone(), vec![0; BLOCK_BYTES]].concat();
    let more = [archive(&[]), vec![0; 5]].concat();
    let behind = [archive(&[]), file.clone()].concat();
    let midst = archive(&[vec![0; BLOCK_BYTES], file.clone()]);
    are_refused(vec![
        ("nothing", Vec::new(), 0, "ends without"),
        ("text", b"hello".to_vec(), 5, "ends without"),
        ("no end", file, 2 * block, "ends without"),
        ("half an end", half, 3 * block, "ends without"),
        ("half a block", more, 2 * block + 5, "ends without"),
        ("a file behind", behind, 2 * block, "follows"),
        ("zeros in the midst", midst, block, "midst"),
    ]);
}

#[test]
fn a_header_has_a_checksum_and_a_size_that_its_type_can_have() {
    let mut flipped = archive(&[file(b'0', b"hello")]);
    flipped[0] ^= 1;
    let largest = [&[0x80; 1][..], &[0xff; 11]].concat();
    let directory = archive(&[file(b'5', b"x")]);
    are_refused(vec![
        ("noise", vec![b'#'; 4096], 0, "checksum"),
        ("a flipped bit", flipped, 0, "checksum"),
        ("a negative size", header(b'0', &[0xff; 12]), 0, "size"),
        ("the largest size", header(b'0', &largest), 0, "size"),
        ("a directory with content", directory, 0, "without content"),
        ("an old sparse file", file(b'S', b"x"), 0, "sparse"),
    ]);
}

#[test]
fn records_are_well_formed_and_stand_before_their_entry() {
    let block = BLOCK_BYTES as u64;
    let of = |records: &[u8]| archive(&[file(b'x', records)]);
    let global = archive(&[file(b'g', b"9 size=6\n")]);
    let beyond = record("size", b"9223372036854775808");
    are_refused(vec![
        ("a size for all", global, block, "all entries"),
        ("a size of letters", of(b"9 size=x\n"), block, "no number"),
        ("a size beyond 63 bits", of(&beyond), block, "no number"),
        (
            "a record that is too long",
            of(b"99 a=b\n"),
            block,
            "well-formed",
        ),
        (
            "a record without an end",
            of(b"6 a=bc"),
            block,
            "well-formed",
        ),
        (
            "a record without a key",
            of(b"5 ab\n"),
            block,
            "well-formed",
        ),
        ("half a record", of(b"1"), block, "well-formed"),
        (
            "records of nothing",
            of(b"9 size=6\n"),
            2 * block,
            "before its end",
        ),
    ]);
}
