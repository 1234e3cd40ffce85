//! Streams by system calls: the same chunks as the host's.
//!
//! Invariant: content is read and written in pieces of 256 KiB, as in the host.

use super::{Answer, File, answer};
use mica_sdk::tree;
use mica_sdk::{Change, Code, Failure};
use mica_sys::content;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// The host's chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes an archive to a writer.
pub(crate) struct Sink<W> {
    writer: W,
    buffer: Box<[u8]>,
    filled: usize,
}

impl<W: Write> Sink<W> {
    /// A sink into `writer`.
    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            filled: 0,
        }
    }

    /// Hands on what was collected.
    #[expect(clippy::indexing_slicing, reason = "`filled` is within the buffer")]
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        self.writer.write_all(&self.buffer[..filled])
    }

    #[expect(clippy::indexing_slicing, reason = "`filled` is within the buffer")]
    fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }
}

impl<W: Write> tree::Sink for &mut Sink<W> {
    type File = File;

    fn write(&mut self, mut bytes: &[u8]) -> Answer<()> {
        while !bytes.is_empty() {
            let room = answer(self.room())?;
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            if let Some(place) = room.get_mut(..now.len()) {
                place.copy_from_slice(now);
            }
            self.filled += now.len();
            bytes = later;
        }
        Ok(())
    }

    #[expect(clippy::indexing_slicing, reason = "`most` is no more than the room")]
    fn copy_from(&mut self, file: &File, offset: u64, length: u64) -> Answer<()> {
        let mut done = 0;
        while done < length {
            let room = answer(self.room())?;
            let most = usize::try_from(length - done)
                .unwrap_or(usize::MAX)
                .min(room.len());
            let part = &mut room[..most];
            let read = answer(content::read_at(file.0.as_fd(), part, offset + done))?;
            if read == 0 {
                return answer(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.filled += read;
            done += read as u64;
        }
        Ok(())
    }
}

/// Reads an archive from a reader.
pub(crate) struct Source<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Source<R> {
    /// A source from `reader`.
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    fn peek(&mut self, most: u64) -> io::Result<&[u8]> {
        if self.start == self.end && most > 0 {
            self.end = self.reader.read(&mut self.buffer)?;
            self.start = 0;
        }
        let length = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.end - self.start);
        Ok(self
            .buffer
            .get(self.start..self.start + length)
            .unwrap_or_default())
    }

    fn consume(
        &mut self,
        length: u64,
        mut take: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> Answer<()> {
        let mut done = 0;
        while done < length {
            let part = answer(self.peek(length - done))?;
            if part.is_empty() {
                return Err(Failure {
                    code: Code::Truncated,
                    message: "the archive ended".to_owned(),
                });
            }
            answer(take(part, done))?;
            let taken = part.len();
            self.start += taken;
            done += taken as u64;
        }
        Ok(())
    }
}

impl<R: Read> tree::Source for Source<R> {
    type File = File;

    fn read(&mut self, length: u32) -> Answer<Vec<u8>> {
        let length = length as usize;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let part = answer(self.peek((length - bytes.len()) as u64))?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(part);
            self.start += part.len();
        }
        Ok(bytes)
    }

    fn copy_to(&mut self, file: &File, offset: u64, length: u64) -> Answer<()> {
        self.consume(length, |part, done| {
            content::write_all_at(file.0.as_fd(), part, offset + done)
        })
    }

    fn skip(&mut self, length: u64) -> Answer<()> {
        self.consume(length, |_, _| Ok(()))
    }
}

/// Counts changes.
#[derive(Debug, Default)]
pub(crate) struct Counted(pub(crate) usize);

impl tree::ChangeSink for &mut Counted {
    fn push(&mut self, changes: &[Change]) -> Answer<()> {
        self.0 += changes.len();
        Ok(())
    }
}
