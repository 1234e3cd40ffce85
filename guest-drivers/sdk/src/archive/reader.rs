//! Reads an archive from a source, one entry after the other.
//!
//! Invariant: whatever the bytes are, the answer is an entry, the end, or an error that says where; memory stays below
//! [`METADATA_BYTES`] for each entry.

use super::decode::{self, Extensions};
use super::sparse::{self, Map, Region};
use super::{BLOCK_BYTES, Entry, Kind, header, padding, pax};
use crate::error::{host, printable};
use crate::tree::{File as _, Source};
use crate::{Code, Error, Failure, Result};

/// A long name, the PAX records or the map of a sparse file: Go's limit.
pub const METADATA_BYTES: u64 = 1 << 20;
/// The latest time that is kept, and negated the earliest; later ones become this. It is the year 36812, beyond what
/// any file system holds.
pub const LATEST_SECONDS: i64 = 1 << 40;
/// The host gives this much at a time.
const READ_BYTES: usize = 256 << 10;

/// An archive that is being read.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    /// Bytes read so far.
    position: u64,
    /// Content of the current entry that was not taken yet.
    body: u64,
    /// Where it belongs, if the entry is a sparse file.
    sparse: Option<Map>,
    /// Bytes up to the next header after the content.
    gap: usize,
    /// What lies at the next header's place, if it was read with what describes it.
    ahead: Option<Vec<u8>>,
    /// Where the current entry begins.
    start: u64,
    /// What it is called, for errors.
    current: Vec<u8>,
    entries: u64,
}

/// What stands at a header's place.
enum Found {
    Header(Box<header::Block>),
    End,
}

impl<S: Source> Reader<S> {
    /// Reads from the beginning of an archive.
    pub fn new(source: S) -> Self {
        Self {
            source,
            position: 0,
            body: 0,
            sparse: None,
            gap: 0,
            ahead: None,
            start: 0,
            current: Vec::new(),
            entries: 0,
        }
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Where the content of the current entry, if it was not taken yet, begins in the archive, and what regions of the
    /// file it is, in order.
    pub fn body(&self) -> (u64, Vec<Region>) {
        let regions = match &self.sparse {
            Some(map) => map.regions.clone(),
            None => vec![Region {
                offset: 0,
                length: self.body,
            }],
        };
        (self.position, regions)
    }

    /// Makes an error about the current entry.
    pub fn invalid(&self, what: impl std::fmt::Display) -> Error {
        Error::InvalidArchive(match self.current.is_empty() {
            true => format!("at byte {}: {what}", self.start),
            false => format!(
                "entry `{}` at byte {}: {what}",
                printable(&self.current),
                self.start
            ),
        })
    }

    /// The next entry, or `None` at the end. What was not taken of the entry before is passed over.
    ///
    /// # Errors
    /// [`Error::InvalidArchive`] if the bytes are no archive or end within one; [`Error::Host`] if the source fails.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.pass_body()?;
        self.start = self.position + self.gap as u64;
        self.current.clear();
        let mut extensions = Extensions::default();
        loop {
            let block = match self.next_header()? {
                Found::Header(block) => block,
                Found::End if extensions.given => {
                    return Err(self.invalid("the archive ends within it"));
                }
                Found::End => return Ok(None),
            };
            if self.take_extension(&block, &mut extensions)? {
                continue;
            }
            let entry = self.entry(&block, extensions)?;
            self.entries += 1;
            return Ok(Some(entry));
        }
    }

    /// Moves all content of the current entry to an empty file. Holes of a sparse file stay holes.
    ///
    /// # Errors
    /// As [`Reader::next_entry`].
    pub fn copy_body(&mut self, file: &S::File) -> Result<()> {
        let length = std::mem::take(&mut self.body);
        let Some(map) = self.sparse.take() else {
            return self.copy_to(file, 0, length);
        };
        for region in &map.regions {
            self.copy_to(file, region.offset, region.length)?;
        }
        file.set_size(map.size).map_err(|failure| {
            let doing = format!("set the size of `{}`", printable(&self.current));
            host(doing, failure)
        })
    }

    fn copy_to(&mut self, file: &S::File, offset: u64, length: u64) -> Result<()> {
        if length > 0 {
            let copied = self.source.copy_to(file, offset, length);
            self.moved(length, copied)?;
        }
        Ok(())
    }

    /// Reads what follows the end mark, whatever it is, so that the sender is not cut off.
    ///
    /// # Errors
    /// [`Error::Host`] if the source fails.
    pub fn drain(&mut self) -> Result<()> {
        loop {
            let bytes = self
                .source
                .read(u32::try_from(READ_BYTES).unwrap_or(0))
                .map_err(|failure| host("read the archive", failure))?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    fn pass_body(&mut self) -> Result<()> {
        let length = std::mem::take(&mut self.body);
        if length > 0 {
            let skipped = self.source.skip(length);
            self.moved(length, skipped)?;
        }
        Ok(())
    }

    fn moved(&mut self, length: u64, result: Result<(), Failure>) -> Result<()> {
        match result {
            Ok(()) => {
                self.position = self.position.saturating_add(length);
                Ok(())
            }
            Err(failure) if failure.code == Code::Truncated => {
                Err(self.invalid("the archive ends within its content"))
            }
            Err(failure) => Err(host(
                format!("copy the content of `{}`", printable(&self.current)),
                failure,
            )),
        }
    }

    /// Reads exactly `length` bytes, or fewer at the end.
    fn read(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = self.read_once(length)?;
        // The host gives a part of what is long; a stream in a test may give fewer bytes at any time.
        while bytes.len() < length && !bytes.is_empty() {
            let more = self.read_once(length - bytes.len())?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn read_once(&mut self, length: usize) -> Result<Vec<u8>> {
        let wanted = u32::try_from(length.min(READ_BYTES)).unwrap_or(0);
        let read = self.source.read(wanted);
        read.map_err(|failure| host("read the archive", failure))
    }

    /// Reads the padding before and the block at a header's place with one call.
    #[expect(
        clippy::indexing_slicing,
        reason = "it was checked that there is as much"
    )]
    fn next_header(&mut self) -> Result<Found> {
        let gap = std::mem::take(&mut self.gap);
        let bytes = match self.ahead.take() {
            Some(bytes) => bytes,
            None => self.read(gap + BLOCK_BYTES)?,
        };
        if bytes.len() < gap {
            return Err(self.invalid("the archive ends within the padding before it"));
        }
        let bytes = &bytes[gap..];
        if bytes.is_empty() {
            // Many writers leave the end mark out, and every reader takes that. Who sends an archive tells by other
            // means that it was cut off: by the length of a body or the end of a connection.
            return Ok(Found::End);
        }
        let Ok(block) = header::Block::try_from(bytes) else {
            return Err(self.invalid("the archive ends within the header"));
        };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Found::Header(Box::new(block)));
        }
        // One block of zeros ends the archive; a second one belongs to it.
        let second = self.read(BLOCK_BYTES)?;
        if second.iter().any(|byte| *byte != 0) {
            return Err(self.invalid("something else than the end follows a block of zeros"));
        }
        Ok(Found::End)
    }

    /// Takes in a header that describes the one after it; false if this one is an entry.
    fn take_extension(
        &mut self,
        block: &header::Block,
        extensions: &mut Extensions,
    ) -> Result<bool> {
        if !header::is_sound(block) {
            return Err(self.invalid("this is not a tar header: the checksum is wrong"));
        }
        let type_flag = header::type_of(block);
        if !matches!(type_flag, b'x' | b'g' | b'L' | b'K') {
            return Ok(false);
        }
        let size = decode::size(block).map_err(|what| self.invalid(what))?;
        if size > METADATA_BYTES {
            return Err(self.invalid("its long name or its PAX records exceed 1 MiB"));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let padded = size + padding(size as u64);
        // With the header that must follow: two calls instead of three for an entry with records.
        let mut bytes = self.read(padded + BLOCK_BYTES)?;
        if bytes.len() < size {
            return Err(self.invalid("the archive ends within a long name or PAX records"));
        }
        self.ahead = Some(bytes.split_off(padded.min(bytes.len())));
        bytes.truncate(size);
        // Global records belong to no entry.
        extensions.given |= type_flag != b'g';
        let name = |bytes: Vec<u8>| {
            bytes
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default()
                .to_vec()
        };
        match type_flag {
            b'x' => extensions.records = pax::parse(&bytes).map_err(|what| self.invalid(what))?,
            b'L' => extensions.long_name = Some(name(bytes)),
            b'K' => extensions.long_link = Some(name(bytes)),
            // Global records say nothing that a layer keeps, but they must be records.
            _ => drop(pax::parse(&bytes).map_err(|what| self.invalid(what))?),
        }
        Ok(true)
    }

    fn entry(&mut self, block: &header::Block, extensions: Extensions) -> Result<Entry> {
        let (name, link) = (extensions.name(block), extensions.link(block));
        self.current.clone_from(&name);
        let records = extensions.records;
        let mut entry =
            decode::entry(block, &records, name, link).map_err(|what| self.invalid(what))?;
        // Links, directories and devices have no content, whatever size they give.
        let body = match entry.kind {
            Kind::Regular => entry.size,
            _ => 0,
        };
        (self.body, self.gap) = (body, padding(body));
        self.sparse =
            match sparse::form(block, &records.sparse).map_err(|what| self.invalid(what))? {
                None => None,
                Some(form) => Some(self.map(block, &form)?),
            };
        if let Some(map) = &self.sparse {
            entry.size = map.size;
        }
        decode::attributes(&mut entry, records).map_err(|what| self.invalid(what))?;
        Ok(entry)
    }

    /// Reads where the content of a sparse file belongs.
    fn map(&mut self, block: &header::Block, form: &sparse::Form) -> Result<Map> {
        let map = match form {
            sparse::Form::Given(map) => Ok(map.clone()),
            sparse::Form::Old => self.old_map(block)?,
            sparse::Form::InContent(size) => self.map_in_content(*size)?,
        };
        map.and_then(|map| map.checked(self.body))
            .map_err(|what| self.invalid(what))
    }

    /// GNU's old form: in the header and in blocks behind it.
    fn old_map(&mut self, block: &header::Block) -> Result<Result<Map, String>> {
        let mut old = sparse::Old::new(block);
        while old.goes_on() {
            match header::Block::try_from(self.read(BLOCK_BYTES)?.as_slice()) {
                Ok(block) => old.extend(&block),
                Err(_) => return Err(self.invalid("the archive ends within its map of holes")),
            }
        }
        Ok(old.finish())
    }

    /// GNU's last form: lines of decimal numbers in the first blocks of the content.
    fn map_in_content(&mut self, size: u64) -> Result<Result<Map, String>> {
        let mut lines = sparse::Lines::new(size);
        while lines.goes_on() {
            if self.body < BLOCK_BYTES as u64 {
                return Err(self.invalid("its content ends within its map of holes"));
            }
            let block = self.read(BLOCK_BYTES)?;
            if block.len() < BLOCK_BYTES {
                return Err(self.invalid("the archive ends within its content"));
            }
            self.body -= BLOCK_BYTES as u64;
            lines.extend(&block);
        }
        Ok(lines.finish())
    }
}
