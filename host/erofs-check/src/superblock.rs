//! The superblock and the table of devices.

use crate::Facts;
use crate::bytes::{BLOCK, Image};
use crate::refusal::{Refusal, Rule};

const SUPERBLOCK: u64 = 1024;
const SLOT: u64 = 1152;
/// Where inodes begin.
pub(crate) const FIRST_INODE: u64 = 1280;
/// Bytes of which an inode's number counts the multiples.
pub(crate) const STEP: u64 = 32;
const MAGIC: u32 = 0xe0f5_e1e2;
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Checks what comes before the inodes. The number of inodes is what the image says: the walk compares it.
pub(crate) fn check(image: &Image<'_>) -> Result<Facts, Refusal> {
    image.zeros(0, SUPERBLOCK, Rule::Zeros)?;
    let at = |offset: u64| SUPERBLOCK + offset;
    Rule::Magic.check(image.u32(at(0)) == MAGIC, at(0))?;
    Rule::Checksum.check(image.u32(at(4)) == checksum(image)?, at(4))?;
    Rule::Features.check(image.u32(at(8)) == 3, at(8))?;
    Rule::BlockSize.check(image.u16(at(12)) == 9, at(12))?;
    image.zeros(at(24), at(36), Rule::Superblock)?;
    Rule::Counts.check(image.u32(at(36)) == image.blocks(), at(36))?;
    image.zeros(at(40), at(48), Rule::Superblock)?;
    image.zeros(at(64), at(80), Rule::Superblock)?;
    Rule::Features.check(image.u32(at(80)) == 12, at(80))?;
    image.zeros(at(84), at(86), Rule::Superblock)?;
    Rule::Devices.check(image.u16(at(86)) == 1, at(86))?;
    Rule::Devices.check(u64::from(image.u16(at(88))) * 128 == SLOT, at(88))?;
    image.zeros(at(90), at(128), Rule::Superblock)?;
    let archive_sha256 = tag(image)?;
    let identifier = image.take(at(48), 16, Rule::Identifier)?;
    Rule::Identifier.check(archive_sha256.starts_with(identifier), at(48))?;
    Rule::Slot.check(image.u32(SLOT + 68) == image.blocks(), SLOT + 68)?;
    image.zeros(SLOT + 72, FIRST_INODE, Rule::Slot)?;
    Ok(Facts {
        archive_sha256,
        archive_blocks: image.u32(SLOT + 64),
        inodes: image.u64(at(16)),
    })
}

/// The number of the root's inode. Where it must be, the walk knows.
pub(crate) fn root(image: &Image<'_>) -> u64 {
    u64::from(image.u16(SUPERBLOCK + 14))
}

/// The digest in the device's tag.
fn tag(image: &Image<'_>) -> Result<[u8; 32], Refusal> {
    let digits = image.take(SLOT, 64, Rule::Tag)?;
    let mut digest = [0; 32];
    for (place, (byte, pair)) in digest.iter_mut().zip(digits.chunks(2)).enumerate() {
        let value = match pair {
            [high, low] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let (high, low) = value.ok_or(Rule::Tag.at(SLOT + 2 * place as u64))?;
        *byte = high << 4 | low;
    }
    Ok(digest)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// CRC-32C of the superblock's block with zeros in the place of the checksum, not inverted at the end.
fn checksum(image: &Image<'_>) -> Result<u32, Refusal> {
    let block = image.take(SUPERBLOCK, BLOCK, Rule::Checksum)?;
    let bytes = block.iter().enumerate();
    Ok(bytes.fold(u32::MAX, |sum, (place, byte)| {
        let byte = if (4..8).contains(&place) { 0 } else { *byte };
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    }))
}
