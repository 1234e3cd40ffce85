//! Where archives come from.
//!
//! Invariant: what is asked for is given whole, or the end of the stream is an error.

use super::CHUNK_BYTES;
use super::wait::Wait;
use crate::{Code, Failure};
use mica_sys::content;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// Where an archive comes from.
pub struct Source {
    reader: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    given: u64,
    keep: Option<Keep>,
    pub(super) wait: Wait,
}

/// Where all that a source reads is written as well.
struct Keep {
    file: OwnedFd,
    hash: Sha256,
    bytes: u64,
}

/// What was kept of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capability) struct Kept {
    pub(in crate::capability) bytes: u64,
    pub(in crate::capability) sha256: [u8; 32],
}

impl Keep {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        content::write_all_at(self.file.as_fd(), bytes, self.bytes)
            .map_err(|error| Failure::from_io("keep the archive", &error))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("buffered", &(self.end - self.start))
            .finish_non_exhaustive()
    }
}

impl Source {
    /// A source that gives out what `reader` gives. The reader bounds its own waiting.
    #[must_use]
    pub fn from_reader(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            given: 0,
            keep: None,
            wait: Wait::default(),
        }
    }

    /// Tells the source how to wait for its sender.
    pub(crate) fn bind(&mut self, wait: Wait) {
        self.wait = wait;
    }

    /// Bytes that were given out.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// Says whether all was given out. Waits for the reader, which may have more.
    pub(crate) fn is_over(&mut self) -> Result<bool, Failure> {
        self.peek(1).map(<[u8]>::is_empty)
    }

    /// Writes all that is given out from now on to an empty file as well.
    #[expect(
        clippy::indexing_slicing,
        reason = "what is buffered lies within the buffer: less would be kept as a wrong archive"
    )]
    pub(in crate::capability) fn keep(&mut self, file: OwnedFd) -> Result<(), Failure> {
        if self.given > 0 || self.keep.is_some() {
            let text = "something was taken from the archive already";
            return Err(Failure::new(Code::Busy, text));
        }
        let mut keep = Keep {
            file,
            hash: Sha256::new(),
            bytes: 0,
        };
        keep.take(&self.buffer[self.start..self.end])?;
        self.keep = Some(keep);
        Ok(())
    }

    /// Keeps what was just read. An archive of which a part could not be kept is not kept at all.
    #[expect(
        clippy::indexing_slicing,
        reason = "what is buffered lies within the buffer: less would be kept as a wrong archive"
    )]
    fn keep_buffer(&mut self) -> Result<(), Failure> {
        let Some(mut keep) = self.keep.take() else {
            return Ok(());
        };
        keep.take(&self.buffer[..self.end])?;
        self.keep = Some(keep);
        Ok(())
    }

    /// What was kept, once all was given out.
    pub(in crate::capability) fn kept(&mut self) -> Result<Kept, Failure> {
        if !self.is_over()? {
            let text = "the archive was not read to its end";
            return Err(Failure::new(Code::Busy, text));
        }
        let Some(keep) = &self.keep else {
            let text = "this archive was not kept";
            return Err(Failure::new(Code::Invalid, text));
        };
        Ok(Kept {
            bytes: keep.bytes,
            sha256: keep.hash.clone().finalize().into(),
        })
    }

    /// Passes over bytes that were given out.
    fn pass(&mut self, bytes: usize) {
        self.start += bytes;
        self.given += bytes as u64;
    }

    /// At most `most` bytes that are next; empty at the end of the stream.
    #[expect(
        clippy::indexing_slicing,
        reason = "what is buffered lies within the buffer: nothing would be taken for the end of the stream"
    )]
    fn peek(&mut self, most: u64) -> Result<&[u8], Failure> {
        while self.start == self.end && most > 0 {
            let (reader, buffer) = (&mut self.reader, &mut self.buffer);
            match self.wait.during(|_| reader.read(buffer)) {
                Ok(read) => {
                    self.start = 0;
                    self.end = read.min(self.buffer.len());
                    self.keep_buffer()?;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::from_io("read the client's stream", &error)),
            }
        }
        let length = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + length])
    }

    pub(super) fn read(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let part = self.peek((length - bytes.len()) as u64)?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(part);
            let taken = part.len();
            self.pass(taken);
        }
        Ok(bytes)
    }

    /// Gives exactly `length` bytes, in parts, to `take`.
    pub(super) fn consume(
        &mut self,
        length: u64,
        mut take: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut done = 0;
        while done < length {
            let part = self.peek(length - done)?;
            if part.is_empty() {
                let text = format!("the stream ended {} bytes too early", length - done);
                return Err(Failure::new(Code::Truncated, text));
            }
            take(part, done).map_err(|error| Failure::from_io("write the file", &error))?;
            let taken = part.len();
            self.pass(taken);
            done += taken as u64;
        }
        Ok(())
    }
}
