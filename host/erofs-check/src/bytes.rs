//! An image as bytes that may be read anywhere, or nowhere.

use crate::refusal::{Refusal, Rule};

/// Bytes of a block.
pub(crate) const BLOCK: u64 = 512;
/// The shortest image: superblock, device and root.
const MIN_IMAGE_BYTES: u64 = 1536;

/// The bytes of an image.
#[derive(Clone, Copy)]
pub(crate) struct Image<'a>(&'a [u8]);

impl<'a> Image<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let length = bytes.len() as u64;
        let holds = length.is_multiple_of(BLOCK)
            && length >= MIN_IMAGE_BYTES
            && length / BLOCK < u64::from(u32::MAX);
        Rule::Length.check(holds, length)?;
        Ok(Self(bytes))
    }

    pub(crate) fn length(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn blocks(&self) -> u32 {
        u32::try_from(self.length() / BLOCK).unwrap_or(u32::MAX)
    }

    /// Some bytes, if all of them are there.
    pub(crate) fn get(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.0.get(start..end)
    }

    /// Some bytes, or a refusal by `rule`.
    pub(crate) fn take(&self, at: u64, length: u64, rule: Rule) -> Result<&'a [u8], Refusal> {
        self.get(at, length).ok_or(rule.at(at))
    }

    fn array<const N: usize>(&self, at: u64) -> [u8; N] {
        let bytes = self.get(at, N as u64);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or([0; N])
    }

    /// A number; callers have made sure that its bytes are there.
    pub(crate) fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    /// See [`Image::u16`].
    pub(crate) fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    /// See [`Image::u16`].
    pub(crate) fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    /// Refuses by `rule` unless all bytes from `at` to `end` are zero.
    pub(crate) fn zeros(&self, at: u64, end: u64, rule: Rule) -> Result<(), Refusal> {
        let bytes = self.take(at, end.saturating_sub(at), rule)?;
        match bytes.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(place) => Err(rule.at(at + place as u64)),
        }
    }
}

/// The next multiple of `step`, which is a power of two; values are below 2^63.
pub(crate) fn align(value: u64, step: u64) -> u64 {
    (value + step - 1) & !(step - 1)
}
