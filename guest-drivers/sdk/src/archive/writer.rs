//! Writes an archive into a sink.
//!
//! Invariant: the bytes depend on the entries alone, so the same layer gives the same archive.

use super::{BLOCK_BYTES, Entry, Kind, header, number, padding, pax, whiteout};
use crate::error::{host, printable};
use crate::tree::Sink;
use crate::{Result, Timestamp};

/// Headers are gathered up to this size and written at once; content always goes past.
const BUFFER_BYTES: usize = 64 << 10;
/// The host takes this much at a time.
const WRITE_BYTES: usize = 256 << 10;

/// An archive that is being written.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    buffer: Vec<u8>,
    records: Vec<u8>,
    written: u64,
    entries: u64,
}

impl<S: Sink> Writer<S> {
    /// Begins an archive.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            records: Vec::new(),
            written: 0,
            entries: 0,
        }
    }

    /// Entries and bytes written so far.
    pub fn written(&self) -> (u64, u64) {
        (self.entries, self.written + self.buffer.len() as u64)
    }

    /// Writes an entry without content.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.header(entry);
        self.blocks(&entry.name, |_| ())
    }

    /// Writes a regular file with `entry.size` bytes of content.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails or the file has become shorter.
    pub fn file(&mut self, entry: &Entry, file: &S::File) -> Result<()> {
        if entry.size == 0 {
            return self.entry(entry);
        }
        self.header(entry);
        self.entries += 1;
        self.content(&entry.name, file, entry.size)
    }

    /// Writes the header of an entry that was encoded elsewhere: `append` appends whole blocks.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails.
    pub fn blocks(&mut self, name: &[u8], append: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        append(&mut self.buffer);
        self.entries += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush(name)
        } else {
            Ok(())
        }
    }

    /// Writes the content that belongs to the last header.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails or the file has become shorter.
    pub fn content(&mut self, name: &[u8], file: &S::File, size: u64) -> Result<()> {
        self.flush(name)?;
        self.sink.copy_from(file, 0, size).map_err(|failure| {
            host(
                format!("archive the content of `{}`", printable(name)),
                failure,
            )
        })?;
        self.written += size;
        self.fill(padding(size));
        Ok(())
    }

    /// Writes that `path` (without a leading slash) is deleted.
    ///
    /// The entry is a regular file of no bytes, mode 0, owner 0:0 and time 0, as containerd writes it.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.entry(&marker(whiteout::hiding(path)))
    }

    /// Ends the archive with two blocks of zeros; answers entries and bytes.
    ///
    /// # Errors
    /// [`crate::Error::Host`] if the sink fails.
    pub fn finish(mut self) -> Result<(u64, u64)> {
        self.fill(2 * BLOCK_BYTES);
        self.flush(b"")?;
        Ok((self.entries, self.written))
    }

    fn fill(&mut self, count: usize) {
        self.buffer.resize(self.buffer.len() + count, 0);
    }

    fn flush(&mut self, name: &[u8]) -> Result<()> {
        for part in self.buffer.chunks(WRITE_BYTES) {
            self.sink
                .write(part)
                .map_err(|failure| host(format!("archive `{}`", printable(name)), failure))?;
            self.written += part.len() as u64;
        }
        self.buffer.clear();
        Ok(())
    }

    fn header(&mut self, entry: &Entry) {
        let slash: &[u8] = if entry.kind == Kind::Directory {
            b"/"
        } else {
            b""
        };
        self.records.clear();
        self.gather(entry, slash);
        if !self.records.is_empty() {
            let block = header::encode(&header::Plain {
                name: &extension_name(&entry.name),
                prefix: b"",
                link: b"",
                type_flag: b'x',
                mode: 0o644,
                uid: 0,
                gid: 0,
                size: self.records.len() as u64,
                seconds: 0,
                device: Some((0, 0)),
            });
            self.buffer.extend_from_slice(&block);
            let over = padding(self.records.len() as u64);
            self.buffer.append(&mut self.records);
            self.fill(over);
        }
        let mut name = entry.name.clone();
        name.extend_from_slice(slash);
        let block = header::encode(&header::Plain {
            name: &name,
            prefix: b"",
            link: &entry.link,
            type_flag: header::type_flag(entry.kind),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            seconds: u64::try_from(entry.modified.seconds).unwrap_or(0),
            device: Some(entry.device),
        });
        self.buffer.extend_from_slice(&block);
    }

    /// Gathers in records what the header has no room for.
    fn gather(&mut self, entry: &Entry, slash: &[u8]) {
        let records = &mut self.records;
        let fits =
            |text: &[u8], more: usize| text.len() + more <= header::NAME.1 && text.is_ascii();
        if !fits(&entry.name, slash.len()) {
            pax::append(records, b"path", &[&entry.name, slash].concat());
        }
        if !fits(&entry.link, 0) {
            pax::append(records, b"linkpath", &entry.link);
        }
        if entry.size > number::largest(11) {
            pax::append(records, b"size", entry.size.to_string().as_bytes());
        }
        for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            if u64::from(id) > number::largest(7) {
                pax::append(records, key.as_bytes(), id.to_string().as_bytes());
            }
        }
        if !is_plain(entry.modified) {
            pax::append(
                records,
                b"mtime",
                pax::format_time(entry.modified).as_bytes(),
            );
        }
        for xattr in &entry.xattrs {
            pax::append(
                records,
                &[pax::XATTR.as_bytes(), &xattr.name].concat(),
                &xattr.value,
            );
        }
    }
}

fn is_plain(time: Timestamp) -> bool {
    time.nanoseconds == 0
        && u64::try_from(time.seconds).is_ok_and(|seconds| seconds <= number::largest(11))
}

/// What old programs call the file that they take the records for.
fn extension_name(name: &[u8]) -> Vec<u8> {
    let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut text = b"PaxHeaders/".to_vec();
    text.extend(base.iter().filter(|byte| byte.is_ascii_graphic()).take(80));
    text
}

fn marker(name: Vec<u8>) -> Entry {
    Entry {
        kind: Kind::Regular,
        name,
        link: Vec::new(),
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        modified: Timestamp {
            seconds: 0,
            nanoseconds: 0,
        },
        device: (0, 0),
        xattrs: Vec::new(),
    }
}
