//! Where archives go: recycled chunks through a bounded channel, or a writer.
//!
//! Invariant: a chunk is handed on full, but for the last one, which is handed on only at the end of a complete stream
//! that has the frame of an archive.

mod whole;

use super::super::HostError;
use super::super::file::File;
use super::CHUNK_BYTES;
use super::channel::{Refusal, send};
use super::framing::{Framing, Unframed};
use super::wait::Wait;
use crate::{Code, Failure};
use bytes::Bytes;
use mica_sys::content;
use parking_lot::Mutex;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Buffers that come back when their reader is done with them.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Box<[u8]>>>);

impl Pool {
    fn take(&self) -> Box<[u8]> {
        let free = self.0.lock().pop();
        free.unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice())
    }

    fn give(&self, buffer: Box<[u8]>) {
        self.0.lock().push(buffer);
    }
}

/// The filled part of a pooled buffer.
struct Filled {
    buffer: Box<[u8]>,
    length: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Filled {
    #[expect(
        clippy::indexing_slicing,
        reason = "made of no more than was filled: another part would be a wrong archive"
    )]
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer));
    }
}

enum Target {
    Channel(mpsc::Sender<Bytes>),
    Writer(Box<dyn Write + Send>),
}

/// Where an archive goes.
pub struct Sink {
    target: Target,
    pool: Arc<Pool>,
    buffer: Box<[u8]>,
    filled: usize,
    framing: Framing,
    whole: Whole,
    /// Asks what of an archive that the host sends by itself is wanted.
    ask: Option<Ask>,
    pub(super) wait: Wait,
}

/// Is told the size and the digest of an archive before its first byte, and answers which bytes of it are sent.
type Ask = Box<dyn FnOnce(u64, [u8; 32]) -> Range<u64> + Send>;

/// Whether a sink has an archive that the host sent by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// It has what the driver wrote.
    No,
    /// A part of it.
    Part,
    /// All of it, so many bytes.
    All(u64),
}

/// What went through a sink, as the host counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Absent for an archive that the host sent by itself.
    pub(crate) entries: Option<u64>,
    pub(crate) bytes: u64,
}

/// A driver that writes no archive is ended.
impl From<Unframed> for HostError {
    fn from(error: Unframed) -> Self {
        Self::Trap(wasmtime::Error::msg(error.to_string()))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

impl Sink {
    /// A sink that hands chunks of up to 256 KiB to a channel which holds `chunks` of them.
    #[must_use]
    pub fn channel(chunks: usize) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(chunks);
        (Self::new(Target::Channel(sender)), receiver)
    }

    /// A sink that writes to `writer`.
    #[must_use]
    pub fn to_writer(writer: Box<dyn Write + Send>) -> Self {
        Self::new(Target::Writer(writer))
    }

    fn new(target: Target) -> Self {
        let pool = Arc::new(Pool::default());
        let buffer = pool.take();
        Self {
            target,
            pool,
            buffer,
            filled: 0,
            framing: Framing::new(),
            whole: Whole::No,
            ask: None,
            wait: Wait::default(),
        }
    }

    /// A sink that asks which bytes are wanted of an archive that the host sends by itself: `ask` is told its size and its digest, before the
    /// first byte goes out. Of any other archive all bytes go out, and nothing is asked.
    #[must_use]
    pub fn asking(self, ask: impl FnOnce(u64, [u8; 32]) -> Range<u64> + Send + 'static) -> Self {
        Self {
            ask: Some(Box::new(ask)),
            ..self
        }
    }

    /// Tells the sink how to wait for its reader.
    pub(crate) fn bind(&mut self, wait: Wait) {
        self.wait = wait;
    }

    /// What was written so far.
    pub(crate) fn written(&self) -> Written {
        match self.whole {
            Whole::No | Whole::Part => Written {
                entries: Some(self.framing.entries()),
                bytes: self.framing.bytes(),
            },
            Whole::All(bytes) => Written {
                entries: None,
                bytes,
            },
        }
    }

    /// Checks that the archive has an end.
    ///
    /// # Errors
    /// What is missing, in words.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        match self.whole {
            Whole::No => self.framing.end().map_err(|error| error.to_string()),
            Whole::Part => {
                Err("it failed to send the archive, and said that it had not".to_owned())
            }
            Whole::All(_) => Ok(()),
        }
    }

    /// Hands on what was collected: the end of a stream that is complete.
    pub(crate) fn finish(mut self) -> Result<(), HostError> {
        self.flush()?;
        if let Target::Writer(writer) = &mut self.target {
            writer.flush().map_err(Refusal::Io)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        self.chunk().map_or(Ok(()), |chunk| self.hand_on(chunk))
    }

    /// What was collected, if anything.
    fn chunk(&mut self) -> Option<Bytes> {
        let length = std::mem::take(&mut self.filled);
        if length == 0 {
            return None;
        }
        let buffer = std::mem::replace(&mut self.buffer, self.pool.take());
        Some(Bytes::from_owner(Filled {
            buffer,
            length,
            pool: Arc::clone(&self.pool),
        }))
    }

    fn hand_on(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        match &mut self.target {
            Target::Channel(sender) => send(sender, chunk, &mut self.wait),
            Target::Writer(writer) => {
                let written = self.wait.during(|_| writer.write_all(&chunk));
                written.map_err(Refusal::Io)
            }
        }
    }

    /// The free part of the buffer, at least one byte.
    #[expect(clippy::indexing_slicing, reason = "`filled` is within the buffer")]
    fn room(&mut self) -> Result<&mut [u8], Refusal> {
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`now` is no more than the room: less would be a wrong archive"
    )]
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), HostError> {
        self.check_open()?;
        self.framing.take(bytes)?;
        while !bytes.is_empty() {
            let room = self.room()?;
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
        }
        Ok(())
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`most` is no more than the room, and `read` no more than `most`: other bytes would be a wrong archive"
    )]
    pub(super) fn append_file(
        &mut self,
        file: &File,
        offset: u64,
        length: u64,
    ) -> Result<(), HostError> {
        self.check_open()?;
        let mut done = 0;
        while done < length {
            let room = self.room()?;
            let most = usize::try_from(length - done)
                .unwrap_or(usize::MAX)
                .min(room.len());
            let part = &mut room[..most];
            let read = content::read_at(file.fd(), part, offset.saturating_add(done))
                .map_err(|error| Failure::from_io("read the file", &error))?;
            if read == 0 {
                let text = format!("the file ended {} bytes before its size", length - done);
                return Err(Failure::new(Code::Truncated, text).into());
            }
            self.framing
                .take(&self.buffer[self.filled..self.filled + read])?;
            self.filled += read;
            done += read as u64;
        }
        Ok(())
    }

    /// What was sent is not what it should be: it must not end in an archive that looks whole, whatever the driver does next.
    pub(in crate::capability) fn spoil(&mut self) {
        self.whole = Whole::Part;
    }

    /// Refuses more than a whole archive.
    pub(super) fn check_open(&self) -> Result<(), HostError> {
        match self.whole {
            Whole::No => Ok(()),
            Whole::Part | Whole::All(_) => {
                let text = "the whole archive was sent already";
                Err(Failure::new(Code::Invalid, text).into())
            }
        }
    }
}
