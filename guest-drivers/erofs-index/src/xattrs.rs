//! Extended attributes behind an inode.

use crate::format::{XATTR_HEADER, align};
use crate::tree::Xattr;
use alloc::vec::Vec;

/// Prefixes that have a number in the format; the access lists have names of their own.
const PREFIXES: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";
/// The size of the area, in words behind the header, has 16 bits.
const AREA_WORDS: u64 = 0xffff - 1;

/// The number of a name's prefix, and what follows it.
pub(crate) fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        ACCESS_LIST => return Some((2, b"")),
        DEFAULT_LIST => return Some((3, b"")),
        _ => {}
    }
    PREFIXES.iter().find_map(|(number, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        (!rest.is_empty()).then_some((*number, rest))
    })
}

/// Bytes of the area of some attributes.
pub(crate) fn area(xattrs: &[Xattr]) -> u64 {
    if xattrs.is_empty() {
        return 0;
    }
    let entries = xattrs.iter().map(|xattr| {
        let rest = split(&xattr.name).map_or(0, |(_, rest)| rest.len());
        align((4 + rest + xattr.value.len()) as u64, 4)
    });
    XATTR_HEADER + entries.sum::<u64>()
}

/// Whether the area of some attributes has a size that the format can tell.
pub(crate) fn fits(xattrs: &[Xattr]) -> bool {
    area(xattrs) <= XATTR_HEADER + 4 * AREA_WORDS
}

/// What an inode says of its area.
pub(crate) fn count(xattrs: &[Xattr]) -> u16 {
    match area(xattrs) {
        0 => 0,
        bytes => u16::try_from((bytes - XATTR_HEADER) / 4 + 1).unwrap_or(u16::MAX),
    }
}

/// Brings attributes into the order in which they are written.
pub(crate) fn sort(xattrs: &mut [Xattr]) {
    xattrs.sort_by(|a, b| split(&a.name).cmp(&split(&b.name)));
}

/// Writes the area.
pub(crate) fn write(xattrs: &[Xattr], out: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    out.extend((0..XATTR_HEADER).map(|_| 0));
    for xattr in xattrs {
        let (prefix, rest) = split(&xattr.name).expect("checked with its area");
        let length = u16::try_from(xattr.value.len()).expect("checked with its area");
        out.push(u8::try_from(rest.len()).expect("the kernel's names have 255 bytes"));
        out.push(prefix);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(&xattr.value);
        let over = (4 + rest.len() + xattr.value.len()) % 4;
        out.extend(core::iter::repeat_n(0, (4 - over) % 4));
    }
}
