//! Reads an archive from a source, one entry after the other.
//!
//! Invariant: whatever the bytes are, the answer is an entry, the end, or an error that says where; memory stays below
//! [`METADATA_BYTES`] for each entry.

use super::{BLOCK_BYTES, Entry, Kind, header, number, padding, pax};
use crate::error::{host, printable};
use crate::tree::Source;
use crate::{Code, Error, Failure, Result, Timestamp};

/// Long names and PAX records of one entry: Go's limit.
pub const METADATA_BYTES: u64 = 1 << 20;
/// The latest time that is kept, and negated the earliest; later ones become this. It is the year 36812, beyond what
/// any file system holds.
pub const LATEST_SECONDS: i64 = 1 << 40;
/// The most that the host gives at a time.
const READ_BYTES: u32 = 256 << 10;

/// An archive that is being read.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    /// Bytes read so far.
    position: u64,
    /// Content of the current entry that was not taken yet.
    body: u64,
    /// Bytes up to the next header after the content.
    gap: usize,
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

/// What extension headers say of the entry that follows.
#[derive(Default)]
struct Extensions {
    records: pax::Records,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    bytes: u64,
}

impl<S: Source> Reader<S> {
    /// Reads from the beginning of an archive.
    pub fn new(source: S) -> Self {
        Self {
            source,
            position: 0,
            body: 0,
            gap: 0,
            start: 0,
            current: Vec::new(),
            entries: 0,
        }
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.entries
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
                Found::End if extensions.bytes > 0 => {
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

    /// Moves all content of the current entry to an empty file.
    ///
    /// # Errors
    /// As [`Reader::next_entry`].
    pub fn copy_body(&mut self, file: &S::File) -> Result<()> {
        let length = std::mem::take(&mut self.body);
        if length > 0 {
            let copied = self.source.copy_to(file, 0, length);
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
                .read(READ_BYTES)
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
        let part = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).min(READ_BYTES);
        let mut bytes = self
            .source
            .read(part(length))
            .map_err(|failure| host("read the archive", failure))?;
        // The contract gives fewer bytes only at the end; a stream in a test may give fewer at any time.
        while bytes.len() < length && !bytes.is_empty() {
            let more = self
                .source
                .read(part(length - bytes.len()))
                .map_err(|failure| host("read the archive", failure))?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Reads the padding before and the block at a header's place with one call.
    fn next_header(&mut self) -> Result<Found> {
        let gap = std::mem::take(&mut self.gap);
        let bytes = self.read(gap + BLOCK_BYTES)?;
        if bytes.len() < gap {
            return Err(self.invalid("the archive ends within the padding before it"));
        }
        let bytes = bytes.get(gap..).unwrap_or_default();
        if bytes.is_empty() && self.position == 0 {
            return Ok(Found::End);
        }
        if bytes.is_empty() {
            // Some readers take this for an end. A stream that was cut off looks just the same.
            return Err(self.invalid("the archive ends without its end mark of zeros"));
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
        let type_flag = header::field(block, header::TYPE)
            .first()
            .copied()
            .unwrap_or(0);
        if !matches!(type_flag, b'x' | b'g' | b'L' | b'K') {
            return Ok(false);
        }
        let size = self.number(block, header::SIZE, "size")?;
        extensions.bytes = extensions
            .bytes
            .saturating_add(size)
            .saturating_add(BLOCK_BYTES as u64);
        if extensions.bytes > METADATA_BYTES {
            return Err(self.invalid("its long names and PAX records exceed 1 MiB"));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut bytes = self.read(size + padding(size as u64))?;
        if bytes.len() < size {
            return Err(self.invalid("the archive ends within a long name or PAX records"));
        }
        bytes.truncate(size);
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
            _ => {
                pax::parse(&bytes).map_err(|what| self.invalid(what))?;
                extensions.bytes = 0;
            }
        }
        Ok(true)
    }

    fn number(&self, block: &header::Block, at: header::Field, what: &str) -> Result<u64> {
        number::parse(header::field(block, at))
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| self.invalid(format_args!("its {what} is not a number that is allowed")))
    }

    fn entry(&mut self, block: &header::Block, extensions: Extensions) -> Result<Entry> {
        let records = extensions.records;
        let name = extensions
            .long_name
            .or(records.path)
            .unwrap_or_else(|| header::full_name(block));
        let link = extensions
            .long_link
            .or(records.link)
            .unwrap_or_else(|| header::text(block, header::LINK).to_vec());
        self.current.clone_from(&name);
        let kind = self.kind(block, &name)?;
        let size = match records.size {
            Some(size) => size,
            None => self.number(block, header::SIZE, "size")?,
        };
        let uid = self.owner(block, header::UID, records.uid, "owner")?;
        let gid = self.owner(block, header::GID, records.gid, "group")?;
        let modified = match records.modified {
            Some(time) => time,
            None => Timestamp {
                seconds: self.signed(block, header::MTIME, "time")?,
                nanoseconds: 0,
            },
        };
        let modified = Timestamp {
            seconds: modified.seconds.clamp(-LATEST_SECONDS, LATEST_SECONDS),
            nanoseconds: modified.nanoseconds,
        };
        let device = match kind {
            Kind::CharacterDevice | Kind::BlockDevice => self.device(block)?,
            _ => (0, 0),
        };
        let mode = self.signed(block, header::MODE, "mode")? & 0o7777;
        // Links, directories and devices have no content, whatever size they give.
        self.body = if kind == Kind::Regular { size } else { 0 };
        self.gap = padding(self.body);
        Ok(Entry {
            kind,
            name,
            link,
            mode: u32::try_from(mode).unwrap_or(0),
            uid,
            gid,
            size,
            modified,
            device,
            xattrs: records.xattrs,
        })
    }

    fn kind(&self, block: &header::Block, name: &[u8]) -> Result<Kind> {
        let type_flag = header::field(block, header::TYPE)
            .first()
            .copied()
            .unwrap_or(0);
        Ok(match type_flag {
            b'0' => Kind::Regular,
            // Archives of before 1988 tell a directory by its slash.
            0 if name.ends_with(b"/") => Kind::Directory,
            0 => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => {
                return Err(self.invalid(
                    "sparse files are not supported; make the archive without `--sparse`",
                ));
            }
            other => {
                return Err(
                    self.invalid(format_args!("type `{}` is not known", other.escape_ascii()))
                );
            }
        })
    }

    fn signed(&self, block: &header::Block, at: header::Field, what: &str) -> Result<i64> {
        number::parse(header::field(block, at))
            .ok_or_else(|| self.invalid(format_args!("its {what} is not a number that is allowed")))
    }

    fn owner(
        &self,
        block: &header::Block,
        at: header::Field,
        record: Option<i64>,
        what: &str,
    ) -> Result<u32> {
        let id = match record {
            Some(id) => id,
            None => self.signed(block, at, what)?,
        };
        // The largest number means "leave it" to the kernel.
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| {
                self.invalid(format_args!(
                    "its {what} {id} is not between 0 and {}",
                    u32::MAX - 1
                ))
            })
    }

    fn device(&self, block: &header::Block) -> Result<(u32, u32)> {
        let major = self.number(block, header::MAJOR, "major device number")?;
        let minor = self.number(block, header::MINOR, "minor device number")?;
        // Linux has 12 bits for one and 20 for the other.
        match (u32::try_from(major), u32::try_from(minor)) {
            (Ok(major), Ok(minor)) if major < 1 << 12 && minor < 1 << 20 => Ok((major, minor)),
            _ => Err(self.invalid(format_args!("device {major}:{minor} is out of range"))),
        }
    }
}
