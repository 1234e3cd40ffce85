//! The frame of an archive: whether what a driver writes is a tar at all.
//!
//! Only what decides where an entry ends is read: the checksum, type and size of a header, and `size` in PAX records.
//! What an entry means is the business of the driver and of whoever applies the archive. Content is counted, not looked
//! at, so the cost is one sum over each header.
//!
//! Invariant: memory does not depend on what is written.
//!
//! See docs/decisions/0033-the-frame-of-an-archive-is-checked-in-the-sink.md.

use super::records::Records;
use std::fmt;

/// Bytes of a block.
const BLOCK_BYTES: usize = 512;
/// Blocks of zeros that end an archive.
const END_BLOCKS: u32 = 2;
/// Where a header has its fields: begin and end.
const SIZE: (usize, usize) = (124, 136);
const CHECKSUM: (usize, usize) = (148, 156);
const TYPE_OFFSET: usize = 156;

/// Why bytes are no archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unframed {
    at: u64,
    what: &'static str,
}

impl fmt::Display for Unframed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, what } = self;
        write!(f, "what it writes is no tar archive: {what} at byte {at}")
    }
}

/// What comes next.
#[derive(Debug)]
enum Next {
    /// A header, or one of the blocks that end the archive.
    Block,
    /// Bytes that are only counted: content, long names and padding.
    Counted(u64),
    /// PAX records, and then their padding.
    Records(Records, u64),
    /// Zeros up to the end.
    Zeros,
}

/// Follows an archive as it is written.
#[derive(Debug)]
pub(super) struct Framing {
    next: Next,
    block: [u8; BLOCK_BYTES],
    filled: usize,
    zero_blocks: u32,
    /// What records say of the size of the next entry.
    size: Option<u64>,
    bytes: u64,
    entries: u64,
}

type Framed<T> = Result<T, &'static str>;

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Block,
            block: [0; BLOCK_BYTES],
            filled: 0,
            zero_blocks: 0,
            size: None,
            bytes: 0,
            entries: 0,
        }
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Entries so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes the next bytes.
    #[expect(
        clippy::indexing_slicing,
        reason = "a step takes no more than there is: other bytes would pass unchecked"
    )]
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Unframed> {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            let taken = taken.map_err(|what| Unframed {
                at: self.bytes,
                what,
            })?;
            self.bytes += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// The end of the archive.
    pub(super) fn end(&self) -> Result<(), Unframed> {
        let is_whole =
            matches!(self.next, Next::Zeros) && self.bytes.is_multiple_of(BLOCK_BYTES as u64);
        let what = "it ends without two blocks of zeros";
        let at = self.bytes;
        is_whole.then_some(()).ok_or(Unframed { at, what })
    }

    /// Takes some of the bytes and says how many.
    #[expect(
        clippy::indexing_slicing,
        reason = "`part` is no more than the bytes and the rest of the block: a header would be checked that is not sent"
    )]
    fn step(&mut self, bytes: &[u8]) -> Framed<usize> {
        match &mut self.next {
            Next::Block => {
                let part = bytes.len().min(BLOCK_BYTES - self.filled);
                let room = &mut self.block[self.filled..self.filled + part];
                room.copy_from_slice(&bytes[..part]);
                self.filled += part;
                if self.filled == BLOCK_BYTES {
                    self.filled = 0;
                    self.next = self.after_block()?;
                }
                Ok(part)
            }
            Next::Counted(left) => {
                let part = at_most(bytes.len(), *left);
                *left -= part as u64;
                if *left == 0 {
                    self.next = Next::Block;
                }
                Ok(part)
            }
            Next::Records(records, padding) => {
                let part = records.take(bytes)?;
                if records.is_over() {
                    let size = records.end()?;
                    self.size = size.or(self.size);
                    self.next = counted(*padding);
                }
                Ok(part)
            }
            Next::Zeros => match bytes.iter().all(|byte| *byte == 0) {
                true => Ok(bytes.len()),
                false => Err("something follows its end"),
            },
        }
    }

    /// What follows the block that is there.
    fn after_block(&mut self) -> Framed<Next> {
        if self.block.iter().all(|byte| *byte == 0) {
            if self.size.is_some() {
                return Err("PAX records stand before its end");
            }
            self.zero_blocks += 1;
            let is_end = self.zero_blocks == END_BLOCKS;
            return Ok(if is_end { Next::Zeros } else { Next::Block });
        }
        if self.zero_blocks > 0 {
            return Err("a block of zeros stands in its midst");
        }
        self.check_sum()?;
        let size = self.field_size()?;
        match self.block[TYPE_OFFSET] {
            b'x' => records(size, Records::of_entry(size)),
            b'g' => records(size, Records::of_archive(size)),
            // Long names and link targets of the entry that follows.
            b'L' | b'K' => content(size),
            // More headers would follow, of another form.
            b'S' => Err("an old GNU header of a sparse file"),
            kind => {
                self.entries += 1;
                let size = self.size.take().unwrap_or(size);
                match kind {
                    // Links, devices, directories, pipes: readers do not agree whether content may follow.
                    b'1'..=b'6' if size > 0 => Err("a header of a type without content has a size"),
                    _ => content(size),
                }
            }
        }
    }

    fn check_sum(&self) -> Framed<()> {
        let wrong = "a header whose checksum is wrong";
        let told = octal(self.field(CHECKSUM)).ok_or(wrong)?;
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        // The field itself counts as blanks.
        let blanks = u64::from(b' ') * (CHECKSUM.1 - CHECKSUM.0) as u64;
        let found = sum(&self.block) - sum(self.field(CHECKSUM)) + blanks;
        (told == found).then_some(()).ok_or(wrong)
    }

    fn field_size(&self) -> Framed<u64> {
        let field = self.field(SIZE);
        let size = match field.split_first() {
            // GNU's: binary, with the highest bit as the mark. A negative one has more bits.
            Some((0x80, binary)) => binary.iter().try_fold(0_u64, |number, byte| {
                number
                    .checked_mul(256)
                    .map(|number| number | u64::from(*byte))
            }),
            _ => octal(field),
        };
        let fits = size.filter(|size| i64::try_from(*size).is_ok());
        fits.ok_or("a header whose size is no number of bytes")
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "fields are constants within a block"
    )]
    fn field(&self, (begin, end): (usize, usize)) -> &[u8] {
        &self.block[begin..end]
    }
}

fn counted(bytes: u64) -> Next {
    match bytes {
        0 => Next::Block,
        bytes => Next::Counted(bytes),
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_BYTES as u64) - size
}

/// Content with its padding. A size fits into 63 bits, so that the sum fits into 64.
fn content(size: u64) -> Framed<Next> {
    Ok(counted(size + padding(size)))
}

fn records(size: u64, records: Records) -> Framed<Next> {
    match size {
        0 => Ok(Next::Block),
        _ => Ok(Next::Records(records, padding(size))),
    }
}

fn at_most(length: usize, left: u64) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

/// Octal digits, with blanks and NULs around them; none are 0.
fn octal(field: &[u8]) -> Option<u64> {
    let is_fill = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !is_fill(byte));
    let digits = field.get(begin.unwrap_or(field.len())..)?;
    let end = digits.iter().position(is_fill).unwrap_or(digits.len());
    let (digits, fill) = digits.split_at(end);
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = (b'0'..=b'7').contains(digit).then(|| digit - b'0')?;
        number.checked_mul(8)?.checked_add(digit.into())
    });
    number.filter(|_| fill.iter().all(is_fill))
}

#[cfg(test)]
mod tests;
