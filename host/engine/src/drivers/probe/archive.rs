//! Two small archives with what layers have: directories, files, links, and deletions. The top directory is among them, or its
//! time would be that of the probe.
//!
//! Invariant: the same bytes each time.

/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// A layer on nothing.
pub(super) fn lower() -> Vec<u8> {
    let content = b"content ".repeat(1000);
    archive(&[
        ("./", b'5', "", &[]),
        ("d/", b'5', "", &[]),
        ("d/file", b'0', "", &content),
        ("d/gone", b'0', "", b"x"),
        ("empty", b'0', "", &[]),
        ("hard", b'1', "d/file", &[]),
        ("link", b'2', "d/file", &[]),
        ("other/", b'5', "", &[]),
        ("other/file", b'0', "", b"y"),
    ])
}

/// A layer on that one.
pub(super) fn upper() -> Vec<u8> {
    archive(&[
        ("./", b'5', "", &[]),
        ("d/", b'5', "", &[]),
        ("d/.wh.gone", b'0', "", &[]),
        ("empty", b'0', "", b"no more"),
        ("new", b'0', "", b"z"),
        ("other/", b'5', "", &[]),
        ("other/.wh..wh..opq", b'0', "", &[]),
        ("other/own", b'0', "", b"w"),
    ])
}

/// Name, type, target and content of each entry.
fn archive(entries: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, target, content) in entries {
        bytes.extend(header(name, *kind, target, content.len()));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

/// A header as POSIX.1-1988 has it.
fn header(name: &str, kind: u8, target: &str, size: usize) -> Vec<u8> {
    let mode = if kind == b'5' { "0000755" } else { "0000644" };
    let field = |text: &str, width: usize| {
        let mut field = text.as_bytes().to_vec();
        field.resize(width, 0);
        field
    };
    let before = [
        field(name, 100),
        field(mode, 8),
        field("0000000", 8),
        field("0000000", 8),
        field(&format!("{size:011o}"), 12),
        field("10000000000", 12),
    ]
    .concat();
    let after = [vec![kind], field(target, 100), field("ustar\x0000", 8)].concat();
    let blanks = u32::from(b' ') * 8;
    let sum: u32 = before
        .iter()
        .chain(&after)
        .map(|byte| u32::from(*byte))
        .sum();
    let mut block = [before, field(&format!("{:06o}\0 ", sum + blanks), 8), after].concat();
    block.resize(BLOCK, 0);
    block
}
