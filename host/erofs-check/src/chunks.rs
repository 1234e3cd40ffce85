//! The chunks of a file.

use crate::bytes::{BLOCK, Image, align};
use crate::inode::NOWHERE;
use crate::refusal::{Refusal, Rule};

/// Bytes of an index.
const INDEX: u64 = 8;
/// The most chunks of one file.
const MAX_CHUNKS: u64 = 1 << 16;
/// The largest file: no offset in it overflows.
const MAX_FILE_BYTES: u64 = 1 << 62;

/// Checks the chunk indexes of the inode at `inode`, behind `body`. Answers their end.
pub(crate) fn check(
    image: &Image<'_>,
    inode: u64,
    body: u64,
    size: u64,
    format: u32,
    archive_blocks: u32,
) -> Result<u64, Refusal> {
    let rule = Rule::ChunkSize;
    rule.check(size <= MAX_FILE_BYTES && format & !0x1f == 0x20, inode + 16)?;
    let bits = 9 + (format & 0x1f);
    let chunk = 1_u64 << bits;
    // No larger than the file asks for; smaller ones are for holes.
    let largest = size.max(BLOCK).next_power_of_two();
    let count = size.div_ceil(chunk);
    rule.check(chunk <= largest && count <= MAX_CHUNKS, inode + 16)?;
    let start = align(body, INDEX);
    image.zeros(body, start, Rule::Zeros)?;
    let end = start + count * INDEX;
    image.take(start, end - start, Rule::Chunk)?;
    for index in 0..count {
        let at = start + index * INDEX;
        let bytes = chunk.min(size - index * chunk);
        let address = image.u32(at + 4);
        let holds = match (image.u16(at), image.u16(at + 2), address) {
            (0, 0, NOWHERE) => true,
            (0, 1, 1..) => u64::from(address) + bytes.div_ceil(BLOCK) <= u64::from(archive_blocks),
            _ => false,
        };
        Rule::Chunk.check(holds, at)?;
    }
    Ok(end)
}
