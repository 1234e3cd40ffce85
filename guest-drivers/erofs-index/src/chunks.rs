//! How a file lies in the archive: as chunks of one size, each in one piece or a hole.

use crate::format::{BLOCK, NOWHERE};
use crate::tree::{Data, Segment, Unfit};

/// The largest chunk: 5 bits of the chunk format tell its blocks as a power of two.
const LARGEST_BITS: u32 = 9 + 31;
/// The most chunks of one file, so that a sparse file of some terabytes does not become an index of some gigabytes.
const MAX_CHUNKS: u64 = 1 << 16;

/// The chunks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Their size as a power of two.
    pub(crate) bits: u32,
    /// How many they are.
    pub(crate) count: u64,
}

impl Chunks {
    /// Finds chunks for a file; without content it has none.
    pub(crate) fn of(data: &Data) -> Result<Self, Unfit> {
        let size = data.size;
        if size > 1 << 62 {
            return Err(Unfit::Value);
        }
        let mut bits = size.max(BLOCK).next_power_of_two().trailing_zeros();
        let mut end = 0;
        for segment in segments(data) {
            let next = segment.offset.checked_add(segment.length);
            let next = next.filter(|next| segment.offset >= end && *next <= size);
            end = next.ok_or(Unfit::Sparse)?;
            check(segment)?;
            bits = bits.min(powers(segment.offset));
            // A chunk that is in the archive in part would show what follows there. What follows the end of the file is
            // not shown.
            if end != size {
                bits = bits.min(powers(end));
            }
        }
        let bits = bits.min(LARGEST_BITS);
        let count = size.div_ceil(1 << bits);
        match 1 << bits >= BLOCK && count <= MAX_CHUNKS {
            true => Ok(Self { bits, count }),
            false => Err(Unfit::Sparse),
        }
    }

    /// The block of the archive where a chunk of the file begins.
    pub(crate) fn address(&self, data: &Data, index: u64) -> u32 {
        let offset = index << self.bits;
        let holds = |segment: &&Segment| {
            (segment.offset..segment.offset + segment.length).contains(&offset)
        };
        let after = data
            .segments
            .partition_point(|segment| segment.offset <= offset);
        let found = data.segments.get(..after).and_then(|all| all.last());
        let block = found
            .filter(holds)
            .map(|segment| (segment.at + (offset - segment.offset)) / BLOCK);
        // Another address would be other content, and none at all a hole.
        let address = |block| u32::try_from(block).expect("checked with its segment");
        block.map_or(NOWHERE, address)
    }
}

/// Those that have content.
fn segments(data: &Data) -> impl Iterator<Item = &Segment> {
    data.segments.iter().filter(|segment| segment.length > 0)
}

fn check(segment: &Segment) -> Result<(), Unfit> {
    let last = segment.at.checked_add(segment.length).ok_or(Unfit::Value)? / BLOCK;
    if !segment.at.is_multiple_of(BLOCK) || !segment.offset.is_multiple_of(BLOCK) {
        return Err(Unfit::Sparse);
    }
    match u32::try_from(last) {
        Ok(last) if last < NOWHERE => Ok(()),
        _ => Err(Unfit::Value),
    }
}

/// How often two divides a number.
fn powers(number: u64) -> u32 {
    number.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn data(size: u64, parts: &[(u64, u64, u64)]) -> Data {
        let of = |(offset, length, at): &(u64, u64, u64)| Segment {
            offset: *offset,
            length: *length,
            at: *at,
        };
        Data {
            size,
            segments: parts.iter().map(of).collect(),
        }
    }

    #[test]
    fn a_file_in_one_piece_is_one_chunk() {
        for (size, bits) in [(1, 9), (512, 9), (513, 10), (4097, 13), (1 << 30, 30)] {
            let data = data(size, &[(0, size, 1024)]);
            let chunks = Chunks::of(&data).unwrap();
            assert_eq!(chunks, Chunks { bits, count: 1 }, "{size}");
            assert_eq!(chunks.address(&data, 0), 2);
        }
    }

    #[test]
    fn holes_lie_between_chunks() {
        let sparse = data(20_000, &[(4096, 4096, 512), (16_384, 3616, 4608)]);
        let chunks = Chunks::of(&sparse).unwrap();
        assert_eq!((chunks.bits, chunks.count), (12, 5));
        let addresses: Vec<u32> = (0..5).map(|index| chunks.address(&sparse, index)).collect();
        assert_eq!(addresses, [NOWHERE, 1, NOWHERE, NOWHERE, 9]);
    }

    #[test]
    fn what_would_show_other_bytes_of_the_archive_is_refused() {
        for unfit in [
            // A part that ends within a block, with a hole behind it.
            data(8192, &[(0, 100, 512)]),
            // Parts that do not lie at blocks.
            data(8192, &[(100, 412, 512)]),
            data(8192, &[(0, 512, 100)]),
            // Parts out of order, over another, beyond the end.
            data(8192, &[(4096, 512, 512), (0, 512, 1024)]),
            data(8192, &[(0, 1024, 512), (512, 512, 2048)]),
            data(512, &[(0, 1024, 512)]),
            data(u64::MAX, &[]),
            // As many chunks as would fill a disk.
            data(1 << 40, &[(512, 512, 512)]),
        ] {
            assert!(Chunks::of(&unfit).is_err(), "{unfit:?}");
        }
        assert_eq!(Chunks::of(&data(1 << 41, &[])).unwrap().count, 2);
    }
}
