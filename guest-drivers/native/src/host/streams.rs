//! `mica:host/streams`: archives to a writer and from a reader, and lists of changes.
//!
//! Invariant: content is read and written in pieces of 256 KiB, as in the host. Nothing here looks at the frame of an
//! archive; the host does.

use super::file::{self, File};
use super::{PAGE_BYTES, failed, no_glue, refused};
use crate::mica::host::types::{Change, Code, Failure};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Write};

/// Changes that are taken in one call.
const MAX_CHANGES: usize = 1024;

no_glue!(Sink, Source, ChangeSink);

/// Where an archive goes.
pub struct Sink(RefCell<Writing>);

struct Writing {
    writer: Box<dyn Write>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl Writing {
    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// How many bytes the buffer still takes, which is never nothing.
    fn room(&mut self) -> io::Result<usize> {
        if self.buffer.len() >= PAGE_BYTES {
            self.flush()?;
        }
        Ok(PAGE_BYTES - self.buffer.len())
    }
}

impl Sink {
    /// A sink into `writer`.
    pub fn new(writer: impl Write + 'static) -> Self {
        Self(RefCell::new(Writing {
            writer: Box::new(writer),
            buffer: Vec::with_capacity(PAGE_BYTES),
        }))
    }

    /// Hands on what was collected, and closes.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(self) -> io::Result<()> {
        let mut writing = self.0.into_inner();
        writing.flush()?;
        writing.writer.flush()
    }

    /// Appends bytes.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        file::check_length(bytes.len())?;
        let mut writing = self.0.borrow_mut();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = writing.room().map_err(failed("write the stream"))?;
            let (now, later) = rest.split_at(rest.len().min(room));
            writing.buffer.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    /// Appends exactly `length` bytes of a file.
    pub fn copy_from(&self, file: &File, offset: u64, length: u64) -> Result<(), Failure> {
        let mut writing = self.0.borrow_mut();
        let mut done = 0;
        while done < length {
            let room = writing.room().map_err(failed("write the stream"))?;
            let most = usize::try_from(length - done).unwrap_or(usize::MAX);
            let begin = writing.buffer.len();
            writing.buffer.resize(begin + most.min(room), 0);
            let part = writing.buffer.get_mut(begin..).unwrap_or_default();
            let read = file::read_full(file.fd(), part, offset + done);
            let read = read.map_err(failed("read the file"))?;
            if read < most.min(room) {
                return Err(refused(Code::Truncated, "the file is shorter"));
            }
            done += read as u64;
        }
        Ok(())
    }
}

/// Where an archive comes from.
pub struct Source(RefCell<Reading>);

struct Reading {
    reader: Box<dyn Read>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Reading {
    fn peek(&mut self, most: u64) -> Result<&[u8], Failure> {
        if self.start == self.end && most > 0 {
            let read = self.reader.read(&mut self.buffer);
            self.end = read.map_err(failed("read the stream"))?;
            self.start = 0;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let end = self.end.min(self.start.saturating_add(most));
        Ok(self.buffer.get(self.start..end).unwrap_or_default())
    }

    fn take(
        &mut self,
        length: u64,
        mut with: impl FnMut(&[u8], u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut done = 0;
        while done < length {
            let part = self.peek(length - done)?;
            if part.is_empty() {
                return Err(refused(Code::Truncated, "the archive ended"));
            }
            with(part, done)?;
            let taken = part.len();
            self.start += taken;
            done += taken as u64;
        }
        Ok(())
    }
}

impl Source {
    /// A source from `reader`.
    pub fn new(reader: impl Read + 'static) -> Self {
        Self(RefCell::new(Reading {
            reader: Box::new(reader),
            buffer: vec![0; PAGE_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }))
    }

    /// Reads up to `length` bytes; fewer only at the end.
    pub fn read(&self, length: u32) -> Result<Vec<u8>, Failure> {
        let length = length as usize;
        file::check_length(length)?;
        let mut reading = self.0.borrow_mut();
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let part = reading.peek((length - bytes.len()) as u64)?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(part);
            let taken = part.len();
            reading.start += taken;
        }
        Ok(bytes)
    }

    /// Moves exactly `length` bytes to a file.
    pub fn copy_to(&self, file: &File, offset: u64, length: u64) -> Result<(), Failure> {
        let fd = file.writable()?.fd();
        self.0.borrow_mut().take(length, |part, done| {
            file::write_all(fd, part, offset + done).map_err(failed("write the file"))
        })
    }

    /// Throws exactly `length` bytes away.
    pub fn skip(&self, length: u64) -> Result<(), Failure> {
        self.0.borrow_mut().take(length, |_, _| Ok(()))
    }
}

/// Where a list of changes goes.
#[derive(Debug, Default)]
pub struct ChangeSink(RefCell<Vec<Change>>);

impl ChangeSink {
    /// What was appended.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.0.into_inner()
    }

    /// Appends changes.
    pub fn push(&self, changes: &[Change]) -> Result<(), Failure> {
        if changes.len() > MAX_CHANGES {
            let text = format!(
                "{} changes in one call; {MAX_CHANGES} can be",
                changes.len()
            );
            return Err(refused(Code::Limit, text));
        }
        self.0.borrow_mut().extend_from_slice(changes);
        Ok(())
    }
}
