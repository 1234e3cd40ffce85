//! Where archives come from.
//!
//! Bytes are given out of the pieces in which they came. Only what is kept is collected first, because it is written and hashed in
//! larger pieces than a client may send.
//!
//! Invariant: what is asked for is given whole, or the end of the stream is an error.

use super::CHUNK_BYTES;
use super::hashing::Hashing;
use super::wait::Wait;
use crate::{Code, Failure};
use mica_sys::content;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Where an archive comes from.
pub struct Source {
    reader: Box<dyn BufRead + Send>,
    /// Bytes that the reader has at hand, which are given out where they lie.
    ready: usize,
    /// What was read to be kept and is not given out yet.
    buffer: Arc<[u8]>,
    start: usize,
    end: usize,
    /// Buffers that the digest was made of, or still is.
    spare: Vec<Arc<[u8]>>,
    given: u64,
    keep: Keeping,
    pub(super) wait: Wait,
}

/// Where all that a source reads is written as well.
struct Keep {
    file: OwnedFd,
    hashing: Hashing<Piece>,
    bytes: u64,
}

/// The beginning of a buffer.
struct Piece {
    buffer: Arc<[u8]>,
    length: usize,
}

impl AsRef<[u8]> for Piece {
    #[expect(
        clippy::indexing_slicing,
        reason = "a piece is the beginning of its buffer: less would be kept as a wrong archive"
    )]
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// What becomes of an archive that is kept.
enum Keeping {
    /// It is not kept.
    Not,
    /// It is, up to here.
    Now(Keep),
    /// It was.
    Done(Kept),
}

/// What was kept of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capability) struct Kept {
    pub(in crate::capability) bytes: u64,
    pub(in crate::capability) sha256: [u8; 32],
}

impl Keep {
    fn take(&mut self, piece: Piece) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::from_io("keep the archive", &error);
        let bytes = piece.as_ref();
        content::write_all_at(self.file.as_fd(), bytes, self.bytes).map_err(failed)?;
        self.bytes += bytes.len() as u64;
        self.hashing.push(piece).map_err(failed)
    }
}

fn unread(error: io::Error) -> Failure {
    Failure::from_io("read the client's stream", &error)
}

fn buffer() -> Arc<[u8]> {
    vec![0; CHUNK_BYTES].into()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("ready", &(self.ready + self.end - self.start))
            .finish_non_exhaustive()
    }
}

impl Source {
    /// A source that gives out what `reader` gives. The reader bounds its own waiting.
    #[must_use]
    pub fn from_reader(reader: Box<dyn Read + Send>) -> Self {
        Self::from_pieces(Box::new(BufReader::with_capacity(CHUNK_BYTES, reader)))
    }

    /// As [`Source::from_reader`], of a reader that has its bytes in pieces already: they are not copied once more.
    #[must_use]
    pub fn from_pieces(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            ready: 0,
            buffer: Arc::new([]),
            start: 0,
            end: 0,
            spare: Vec::new(),
            given: 0,
            keep: Keeping::Not,
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
    pub(in crate::capability) fn keep(&mut self, file: OwnedFd) -> Result<(), Failure> {
        if self.given > 0 || !matches!(self.keep, Keeping::Not) {
            let text = "something was taken from the archive already";
            return Err(Failure::new(Code::Busy, text));
        }
        self.keep = Keeping::Now(Keep {
            file,
            hashing: Hashing::new(),
            bytes: 0,
        });
        // Nothing was given out, so the reader still has all of it.
        self.ready = 0;
        self.buffer = buffer();
        Ok(())
    }

    /// Keeps what was just read to be kept. An archive of which a part could not be kept is not kept at all.
    fn keep_buffer(&mut self) -> Result<(), Failure> {
        if self.start == self.end {
            return Ok(());
        }
        match std::mem::replace(&mut self.keep, Keeping::Not) {
            Keeping::Now(mut keep) => {
                keep.take(self.piece())?;
                self.keep = Keeping::Now(keep);
            }
            other => self.keep = other,
        }
        Ok(())
    }

    /// What was read last.
    fn piece(&self) -> Piece {
        Piece {
            buffer: Arc::clone(&self.buffer),
            length: self.end,
        }
    }

    /// A buffer that no digest is made of. There are never more than the digest holds, and one.
    fn own_buffer(&mut self) {
        if Arc::get_mut(&mut self.buffer).is_some() {
            return;
        }
        // With one name and no weak one it can be had for writing, and nobody else can make another name of it.
        let is_free = |spare: &Arc<[u8]>| Arc::strong_count(spare) == 1;
        let free = self.spare.iter().position(is_free);
        let other = free.map_or_else(buffer, |at| self.spare.swap_remove(at));
        let used = std::mem::replace(&mut self.buffer, other);
        self.spare.push(used);
    }

    /// What was kept, once all was given out.
    pub(in crate::capability) fn kept(&mut self) -> Result<Kept, Failure> {
        if !self.is_over()? {
            let text = "the archive was not read to its end";
            return Err(Failure::new(Code::Busy, text));
        }
        let kept = match std::mem::replace(&mut self.keep, Keeping::Not) {
            Keeping::Not => {
                let text = "this archive was not kept";
                return Err(Failure::new(Code::Invalid, text));
            }
            Keeping::Now(keep) => {
                let failed = |error: io::Error| Failure::from_io("keep the archive", &error);
                Kept {
                    bytes: keep.bytes,
                    sha256: keep.hashing.finish().map_err(failed)?,
                }
            }
            Keeping::Done(kept) => kept,
        };
        self.keep = Keeping::Done(kept);
        Ok(kept)
    }

    /// Passes over bytes that were given out.
    fn pass(&mut self, bytes: usize) {
        if self.start < self.end {
            self.start += bytes;
        } else {
            self.reader.consume(bytes);
            self.ready = self.ready.saturating_sub(bytes);
        }
        self.given += bytes as u64;
    }

    /// At most `most` bytes that are next; empty at the end of the stream.
    #[expect(
        clippy::indexing_slicing,
        reason = "what is buffered lies within the buffer: nothing would be taken for the end of the stream"
    )]
    fn peek(&mut self, most: u64) -> Result<&[u8], Failure> {
        if self.start == self.end && self.ready == 0 && most > 0 {
            self.fill()?;
        }
        let bytes = if self.start < self.end {
            &self.buffer[self.start..self.end]
        } else if self.ready > 0 {
            // They are there, so nothing is waited for.
            self.reader.fill_buf().map_err(unread)?
        } else {
            &[]
        };
        let length = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
        Ok(&bytes[..length])
    }

    /// Waits for bytes; there are none at the end.
    fn fill(&mut self) -> Result<(), Failure> {
        loop {
            let filled = match self.keep {
                Keeping::Now(_) => self.fill_buffer(),
                Keeping::Not | Keeping::Done(_) => {
                    let reader = &mut self.reader;
                    let ready = self.wait.during(|_| reader.fill_buf().map(<[u8]>::len));
                    ready.map(|ready| self.ready = ready)
                }
            };
            match filled {
                Ok(()) => return self.keep_buffer(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unread(error)),
            }
        }
    }

    /// Reads what is kept before it is given out.
    fn fill_buffer(&mut self) -> io::Result<()> {
        self.own_buffer();
        let reader = &mut self.reader;
        let Some(buffer) = Arc::get_mut(&mut self.buffer) else {
            return Err(io::Error::other("the buffer is somebody else's"));
        };
        let read = self.wait.during(|_| reader.read(buffer))?;
        self.start = 0;
        self.end = read.min(self.buffer.len());
        Ok(())
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

#[cfg(test)]
mod tests;
