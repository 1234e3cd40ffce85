//! Sparse files: which parts of a file an archive holds; all else is zeros.
//!
//! GNU tar has four forms. The old one (type `S`) has the map in the header and in blocks behind it. The PAX forms 0.0
//! and 0.1 have it in records, 1.0 has it in the first blocks of the content.
//!
//! Invariant: a map that is used has its parts in order, none over another, within the file, and as long in sum as the
//! content; it was read from [`METADATA_BYTES`] at most.

use super::header::{self, Block, Field};
use super::reader::METADATA_BYTES;
use super::{BLOCK_BYTES, number};

/// The largest sparse file: what ext4 holds. Without a bound, a header of 512 bytes would order a diff of 8 EiB.
pub const LARGEST_BYTES: u64 = 16 << 40;

/// A part of a file that an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where it begins.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// The parts of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// Those that are in the archive.
    pub regions: Vec<Region>,
    /// Bytes of the whole file.
    pub size: u64,
}

/// What PAX records say of a sparse file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Version of the form.
    pub version: [Option<u64>; 2],
    /// The path of the file; `path` is a made-up one then.
    pub name: Option<Vec<u8>>,
    /// Bytes of the whole file.
    pub size: Option<u64>,
    /// The number of regions.
    pub count: Option<u64>,
    /// Offsets and lengths in turn.
    pub numbers: Vec<u64>,
}

/// In which form an entry is sparse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Here is the map.
    Given(Map),
    /// The map is in the header and behind it.
    Old,
    /// The map is in the content; this is the size of the whole file.
    InContent(u64),
}

impl Records {
    /// Takes in a record; `key` is what follows `GNU.sparse.`. False if something is wrong with it.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        let number = || super::pax::decimal(value);
        match key {
            b"major" => {
                self.version[0] = number();
                number().is_some()
            }
            b"minor" => {
                self.version[1] = number();
                number().is_some()
            }
            b"name" => {
                self.name = Some(value.to_vec());
                !value.is_empty() && !value.contains(&0)
            }
            b"size" | b"realsize" => {
                self.size = number();
                self.size.is_some()
            }
            b"numblocks" => {
                self.count = number();
                self.count.is_some()
            }
            b"offset" | b"numbytes" => {
                // Offsets and lengths come in turn.
                let in_turn = self.numbers.len().is_multiple_of(2) == (key == b"offset");
                self.numbers.extend(number());
                in_turn && number().is_some()
            }
            b"map" => {
                let parts = value.split(|byte| *byte == b',');
                let numbers: Option<Vec<u64>> = parts.map(super::pax::decimal).collect();
                self.numbers = numbers.unwrap_or_default();
                !self.numbers.is_empty()
            }
            _ => true,
        }
    }
}

/// Whether and how an entry is sparse.
pub(super) fn form(block: &Block, records: &Records) -> Result<Option<Form>, String> {
    let old = header::type_of(block) == b'S';
    if old && !header::is_gnu(block) {
        return Err("a sparse file of type `S` has no header of GNU's".to_owned());
    }
    if old {
        return Ok(Some(Form::Old));
    }
    let regular = matches!(header::type_of(block), b'0' | 0 | b'7');
    let form = match records.version {
        [Some(1), Some(0)] => {
            let size = records.size.ok_or("a sparse file gives no size")?;
            Form::InContent(size)
        }
        [None, None] if records.numbers.is_empty() && records.count.is_none() => return Ok(None),
        [None, None] | [Some(0), Some(0 | 1)] => {
            let size = records.size.ok_or("a sparse file gives no size")?;
            let map = Map::new(&records.numbers, size);
            if records
                .count
                .is_some_and(|count| count != map.regions.len() as u64)
            {
                return Err("a sparse file's map has another length than it says".to_owned());
            }
            Form::Given(map)
        }
        _ => return Err("this form of sparse files is not known".to_owned()),
    };
    match regular {
        true => Ok(Some(form)),
        false => Err("only a regular file can be sparse".to_owned()),
    }
}

impl Map {
    fn new(numbers: &[u64], size: u64) -> Self {
        let pairs = numbers.as_chunks().0.iter();
        let regions = pairs.map(|[offset, length]| Region {
            offset: *offset,
            length: *length,
        });
        Self {
            regions: regions.collect(),
            size,
        }
    }

    /// The map, if it fits itself and this many bytes of content.
    pub(super) fn checked(self, content: u64) -> Result<Self, String> {
        if self.size > LARGEST_BYTES {
            return Err(format!(
                "a sparse file of {} bytes is larger than {LARGEST_BYTES}",
                self.size
            ));
        }
        let mut end = 0;
        let mut sum = 0u64;
        for Region { offset, length } in &self.regions {
            let next = offset.checked_add(*length);
            match next.filter(|next| *offset >= end && *next <= self.size) {
                Some(next) => end = next,
                None => {
                    return Err(format!(
                        "the part of {length} bytes at {offset} of a sparse file lies over another or beyond the end"
                    ));
                }
            }
            sum += length;
        }
        if sum != content {
            return Err(format!(
                "the parts of a sparse file have {sum} bytes, its content has {content}"
            ));
        }
        Ok(self)
    }
}

/// Where GNU's old form has its parts: in the header four, in a block behind it twenty-one.
const IN_HEADER: (usize, usize) = (386, 4);
const IN_BLOCK: (usize, usize) = (0, 21);
/// Whether a block follows.
const HEADER_GOES_ON: usize = 482;
const BLOCK_GOES_ON: usize = 504;
/// The size of the whole file.
const REAL_SIZE: Field = Field(483, 12);
/// Bytes of an offset or a length.
const NUMBER_BYTES: usize = 12;

/// Reads the map of GNU's old form.
pub(super) struct Old {
    numbers: Option<Vec<u64>>,
    size: Option<u64>,
    goes_on: bool,
    blocks: u64,
}

impl Old {
    /// Begins with the header.
    pub(super) fn new(block: &Block) -> Self {
        let size = number::parse(header::field(block, REAL_SIZE));
        let mut old = Self {
            numbers: Some(Vec::new()),
            size: size.and_then(|size| u64::try_from(size).ok()),
            goes_on: false,
            blocks: 0,
        };
        old.take(block, IN_HEADER, HEADER_GOES_ON);
        old
    }

    /// Whether a block of the map follows.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on && self.numbers.is_some()
    }

    /// Takes in a block.
    pub(super) fn extend(&mut self, block: &Block) {
        self.blocks += 1;
        if self.blocks * BLOCK_BYTES as u64 > METADATA_BYTES {
            self.numbers = None;
        } else {
            self.take(block, IN_BLOCK, BLOCK_GOES_ON);
        }
    }

    fn take(&mut self, block: &Block, (at, count): (usize, usize), goes_on: usize) {
        self.goes_on = block.get(goes_on).is_some_and(|byte| *byte != 0);
        let fields = (0..2 * count).map(|index| Field(at + index * NUMBER_BYTES, NUMBER_BYTES));
        // The map ends at a field that begins with a NUL.
        let fields: Vec<&[u8]> = fields
            .map(|at| header::field(block, at))
            .take_while(|field| field.first().is_some_and(|byte| *byte != 0))
            .collect();
        let read =
            |field: &&[u8]| number::parse(field).and_then(|number| u64::try_from(number).ok());
        let numbers: Option<Vec<u64>> = fields.iter().map(read).collect();
        self.numbers = match (self.numbers.take(), numbers) {
            (Some(before), Some(numbers)) => Some([before, numbers].concat()),
            _ => None,
        };
    }

    /// The map.
    pub(super) fn finish(self) -> Result<Map, String> {
        match (self.numbers, self.size) {
            (Some(numbers), Some(size)) => Ok(Map::new(&numbers, size)),
            _ => Err("the map of a sparse file is no list of numbers, or exceeds 1 MiB".to_owned()),
        }
    }
}

/// Reads a map of decimal numbers, one in a line: how many parts, then offset and length of each.
pub(super) struct Lines {
    size: u64,
    numbers: Vec<u64>,
    digits: Vec<u8>,
    wrong: bool,
    bytes: u64,
}

impl Lines {
    /// Begins the map of a file of this size.
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            numbers: Vec::new(),
            digits: Vec::new(),
            wrong: false,
            bytes: 0,
        }
    }

    /// Whether numbers are missing.
    pub(super) fn goes_on(&self) -> bool {
        let wanted = self.numbers.first().map(|count| count.saturating_mul(2));
        let found = (self.numbers.len() as u64).saturating_sub(1);
        !self.wrong && wanted.is_none_or(|wanted| found < wanted)
    }

    /// Takes in a block of content; what follows the last number in it is padding.
    pub(super) fn extend(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        self.wrong |= self.bytes > METADATA_BYTES;
        for byte in block {
            if !self.goes_on() {
                return;
            }
            match (byte, super::pax::decimal(&self.digits)) {
                (b'\n', Some(number)) if !self.digits.is_empty() => {
                    self.numbers.push(number);
                    self.digits.clear();
                }
                (b'0'..=b'9', _) if self.digits.len() < 20 => self.digits.push(*byte),
                _ => self.wrong = true,
            }
        }
    }

    /// The map.
    #[expect(
        clippy::indexing_slicing,
        reason = "the first number is how many follow: a file without a map would be all zeros"
    )]
    pub(super) fn finish(self) -> Result<Map, String> {
        match self.wrong {
            false => Ok(Map::new(&self.numbers[1..], self.size)),
            true => {
                Err("the map of a sparse file is no list of numbers, or exceeds 1 MiB".to_owned())
            }
        }
    }
}
