//! Archives of other programs are taken, whatever the parts that they come in; what is none is refused where it goes wrong.

use super::*;

/// A header as GNU tar and Go write it.
fn header(kind: u8, size: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..4].copy_from_slice(b"name");
    block[SIZE.0..SIZE.0 + size.len()].copy_from_slice(size);
    block[TYPE] = kind;
    block[CHECKSUM.0..CHECKSUM.1].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[CHECKSUM.0..CHECKSUM.1].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(mut content: Vec<u8>) -> Vec<u8> {
    content.resize(content.len().next_multiple_of(BLOCK), 0);
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
    [parts.concat(), vec![0; 2 * BLOCK]].concat()
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

#[test]
fn archives_are_taken_in_parts_of_any_size() {
    let long = vec![b'n'; 300];
    let xattr = record(
        "SCHILY.xattr.user.x",
        &[&[b'\n'; 700][..], b"=\0size"].concat(),
    );
    let mut binary = [0; 12];
    (binary[0], binary[11]) = (0x80, 5);
    let cases = [
        ("an empty one", archive(&[]), 0),
        ("more zeros", vec![0; 20 * BLOCK], 0),
        ("a file", archive(&[file(b'0', b"hello")]), 1),
        ("an old file", archive(&[file(0, &[7; 513])]), 1),
        (
            "a directory and a link",
            archive(&[header(b'5', b""), header(b'1', b"0")]),
            2,
        ),
        (
            "a long name",
            archive(&[file(b'L', &long), file(b'0', b"x")]),
            1,
        ),
        (
            "records",
            archive(&[file(b'x', &xattr), file(b'0', b"x")]),
            1,
        ),
        (
            "records with NULs",
            archive(&[file(b'x', b"9 a=1234\n\0\0"), file(b'0', b"x")]),
            1,
        ),
        (
            "a size in records",
            archive(&[
                file(b'x', b"9 size=6\n"),
                header(b'0', b"0"),
                padded(b"123456".to_vec()),
            ]),
            1,
        ),
        (
            "a size that is taken back",
            archive(&[file(b'x', b"9 size=6\n8 size=\n"), file(b'0', b"hello")]),
            1,
        ),
        (
            "records of all",
            archive(&[file(b'g', b"10 a=size\n"), file(b'0', b"x")]),
            1,
        ),
        (
            "a binary size",
            archive(&[header(b'0', &binary), padded(b"12345".to_vec())]),
            1,
        ),
    ];
    for (what, bytes, entries) in cases {
        for part in [1, 7, 511, 512, 513, 4096] {
            assert_eq!(
                framed(&bytes, part),
                Ok(entries),
                "{what} in parts of {part}"
            );
        }
    }
}

#[test]
fn what_is_no_archive_is_refused_where_it_goes_wrong() {
    let mut flipped = archive(&[file(b'0', b"hello")]);
    flipped[0] ^= 1;
    let block = BLOCK as u64;
    let cases = [
        ("nothing", Vec::new(), 0, "ends without"),
        ("text", b"hello".to_vec(), 5, "ends without"),
        ("noise", vec![b'#'; 4096], 0, "checksum"),
        ("a flipped bit", flipped, 0, "checksum"),
        ("no end", file(b'0', b"hello"), 2 * block, "ends without"),
        (
            "half an end",
            [file(b'0', b""), vec![0; BLOCK]].concat(),
            2 * block,
            "ends without",
        ),
        (
            "half a block",
            [archive(&[]), vec![0; 5]].concat(),
            2 * block + 5,
            "ends without",
        ),
        (
            "a file after the end",
            [archive(&[]), file(b'0', b"")].concat(),
            2 * block,
            "follows",
        ),
        (
            "zeros in the midst",
            archive(&[vec![0; BLOCK], file(b'0', b"")]),
            block,
            "midst",
        ),
        (
            "a negative size",
            archive(&[header(b'0', &[0xff; 12])]),
            0,
            "size",
        ),
        (
            "the largest size",
            archive(&[header(b'0', &[&[0x80; 1][..], &[0xff; 11]].concat())]),
            0,
            "size",
        ),
        (
            "a directory with content",
            archive(&[file(b'5', b"x")]),
            0,
            "without content",
        ),
        (
            "an old sparse file",
            archive(&[file(b'S', b"x")]),
            0,
            "sparse",
        ),
        (
            "a size for all",
            archive(&[file(b'g', b"9 size=6\n")]),
            block,
            "all entries",
        ),
        (
            "a size of letters",
            archive(&[file(b'x', b"9 size=x\n")]),
            block,
            "no number",
        ),
        (
            "a size beyond 63 bits",
            archive(&[file(b'x', b"28 size=18446744073709551615\n")]),
            block,
            "no number",
        ),
        (
            "a record that is too long",
            archive(&[file(b'x', b"99 a=b\n")]),
            block,
            "well-formed",
        ),
        (
            "a record without an end",
            archive(&[file(b'x', b"6 a=bc")]),
            block,
            "well-formed",
        ),
        (
            "a record without a key",
            archive(&[file(b'x', b"5 ab\n")]),
            block,
            "well-formed",
        ),
        (
            "half a record",
            archive(&[file(b'x', b"1")]),
            block,
            "well-formed",
        ),
        (
            "records of nothing",
            archive(&[file(b'x', b"9 size=6\n")]),
            2 * block,
            "before its end",
        ),
    ];
    for (what, bytes, at, says) in cases {
        let wrong = framed(&bytes, BLOCK).expect_err(what);
        assert!(wrong.what.contains(says), "{what}: {wrong}");
        assert_eq!(wrong.at, at, "{what}: {wrong}");
    }
}
