//! Directories as blocks: entries, then their names, in byte order over the whole directory.

use crate::format::{BLOCK, ENTRY, entry_type};
use alloc::vec::Vec;

/// [`ENTRY`] where memory is counted.
const ENTRY_BYTES: usize = 12;
const _: () = assert!(ENTRY_BYTES as u64 == ENTRY);

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) number: u64,
    pub(crate) mode: u16,
}

/// Bytes of a directory with these names, `.` and `..` among them.
pub(crate) fn size<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (full, used) = names.fold((0, 0), |(full, used), name| {
        let more = ENTRY + name.len() as u64;
        match used + more > BLOCK {
            true => (full + 1, more),
            false => (full, used + more),
        }
    });
    full * BLOCK + used
}

/// The bytes of a directory. The last block ends with its last name.
pub(crate) fn write(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|entry| {
            used += ENTRY + entry.name.len() as u64;
            used <= BLOCK
        });
        // A name has 255 bytes at most, so at least one fits.
        let (block, after) = rest.split_at(fitting.count().max(1).min(rest.len()));
        rest = after;
        write_block(block, &mut out);
        if !rest.is_empty() {
            let end = (out.len() as u64).next_multiple_of(BLOCK);
            out.resize(usize::try_from(end).expect("it is in memory"), 0);
        }
    }
    out
}

fn write_block(entries: &[Entry<'_>], out: &mut Vec<u8>) {
    let mut offset = entries.len() * ENTRY_BYTES;
    for entry in entries {
        out.extend_from_slice(&entry.number.to_le_bytes());
        out.extend_from_slice(&u16::try_from(offset).expect("within a block").to_le_bytes());
        out.extend_from_slice(&[entry_type(entry.mode), 0]);
        offset += entry.name.len();
    }
    for entry in entries {
        out.extend_from_slice(entry.name);
    }
}
