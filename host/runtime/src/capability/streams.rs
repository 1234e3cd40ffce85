//! `mica:host/streams`: archives and changes on their way out and in.
//!
//! A sink collects what it gets in recycled chunks and hands each full one to a bounded channel: a full channel
//! stops the guest, a closed one fails its next call. A source gives out what a reader gives it.
//!
//! Invariant: the content of a file goes from descriptor to chunk and from chunk to descriptor, never to the guest.

use super::file::File;
use super::{HostError, HostResult, State, meter};
use crate::bindings::mica::host::streams as wit;
use crate::{CancelToken, Change, Code, Failure};
use bytes::Bytes;
use mica_sys::content;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};
use wasmtime::component::Resource;

/// Size of a chunk: large enough that a channel hop costs nothing beside the copy.
const CHUNK_BYTES: usize = 256 << 10;
/// Most changes in one call.
const MOST_CHANGES: usize = 1024;

/// Buffers that come back when their reader is done with them.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Box<[u8]>>>);

impl Pool {
    fn take(&self) -> Box<[u8]> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice())
    }

    fn give(&self, buffer: Box<[u8]>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// The filled part of a pooled buffer.
struct Filled {
    buffer: Box<[u8]>,
    length: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or(&self.buffer)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer));
    }
}

/// Why nothing more can be handed on.
#[derive(Debug)]
enum Refusal {
    Closed,
    Idle(Duration),
    Cancelled,
    Io(io::Error),
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Failure::new(Code::Closed, "the reader of the stream has gone").into(),
            Refusal::Idle(time) => {
                let text = format!("the reader of the stream took nothing for {time:?}: `stream_idle_seconds`");
                Failure::new(Code::TimedOut, text).into()
            }
            Refusal::Cancelled => Self::Trap(meter::Stop::Cancelled.into()),
            Refusal::Io(error) => Failure::from_io("write the stream", &error).into(),
        }
    }
}

/// Puts a value into a bounded channel from a thread that may block. Waits in short naps, so that neither a
/// cancelled operation nor a reader that stands still holds the thread.
fn send<T>(sender: &mpsc::Sender<T>, mut value: T, idle: Duration, cancel: &CancelToken) -> Result<(), Refusal> {
    let started = Instant::now();
    let mut nap = Duration::from_micros(50);
    loop {
        match sender.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Refusal::Closed),
            Err(TrySendError::Full(back)) => value = back,
        }
        if cancel.is_cancelled() {
            return Err(Refusal::Cancelled);
        }
        if started.elapsed() > idle {
            return Err(Refusal::Idle(idle));
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(5));
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
    idle: Duration,
    cancel: CancelToken,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("filled", &self.filled).finish_non_exhaustive()
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
        Self { target, pool, buffer, filled: 0, idle: Duration::from_secs(300), cancel: CancelToken::default() }
    }

    /// Tells the sink whose operation it serves and how long it may wait.
    pub(crate) fn bind(&mut self, idle: Duration, cancel: CancelToken) {
        self.idle = idle;
        self.cancel = cancel;
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
        if self.filled == 0 {
            return Ok(());
        }
        let length = std::mem::take(&mut self.filled);
        match &mut self.target {
            Target::Channel(sender) => {
                let buffer = std::mem::replace(&mut self.buffer, self.pool.take());
                let chunk = Bytes::from_owner(Filled { buffer, length, pool: Arc::clone(&self.pool) });
                send(sender, chunk, self.idle, &self.cancel)
            }
            Target::Writer(writer) => {
                writer.write_all(self.buffer.get(..length).unwrap_or_default()).map_err(Refusal::Io)
            }
        }
    }

    /// The free part of the buffer, at least one byte.
    fn room(&mut self) -> Result<&mut [u8], Refusal> {
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(self.buffer.get_mut(self.filled..).unwrap_or_default())
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            if let Some(place) = room.get_mut(..now.len()) {
                place.copy_from_slice(now);
            }
            self.filled += now.len();
            bytes = later;
        }
        Ok(())
    }

    fn append_file(&mut self, file: &File, offset: u64, length: u64) -> Result<(), HostError> {
        let mut done = 0;
        while done < length {
            let room = self.room()?;
            let most = usize::try_from(length - done).unwrap_or(usize::MAX).min(room.len());
            let part = room.get_mut(..most).unwrap_or_default();
            let read = content::read_at(file.fd(), part, offset.saturating_add(done))
                .map_err(|error| Failure::from_io("read the file", &error))?;
            if read == 0 {
                let text = format!("the file ended {} bytes before its size", length - done);
                return Err(Failure::new(Code::Truncated, text).into());
            }
            self.filled += read;
            done += read as u64;
        }
        Ok(())
    }
}

/// Where an archive comes from.
pub struct Source {
    reader: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("buffered", &(self.end - self.start)).finish_non_exhaustive()
    }
}

impl Source {
    /// A source that gives out what `reader` gives. The reader bounds its own waiting.
    #[must_use]
    pub fn from_reader(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, buffer: vec![0; CHUNK_BYTES].into_boxed_slice(), start: 0, end: 0 }
    }

    /// At most `most` bytes that are next; empty at the end of the stream.
    fn peek(&mut self, most: u64) -> Result<&[u8], Failure> {
        while self.start == self.end && most > 0 {
            match self.reader.read(&mut self.buffer) {
                Ok(read) => {
                    self.start = 0;
                    self.end = read.min(self.buffer.len());
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::from_io("read the stream", &error)),
            }
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.end - self.start);
        Ok(self.buffer.get(self.start..self.start + length).unwrap_or_default())
    }

    fn read(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let part = self.peek((length - bytes.len()) as u64)?;
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(part);
            self.start += part.len();
        }
        Ok(bytes)
    }

    /// Gives exactly `length` bytes, in parts, to `take`.
    fn consume(&mut self, length: u64, mut take: impl FnMut(&[u8], u64) -> io::Result<()>) -> Result<(), Failure> {
        let mut done = 0;
        while done < length {
            let part = self.peek(length - done)?;
            if part.is_empty() {
                let text = format!("the stream ended {} bytes too early", length - done);
                return Err(Failure::new(Code::Truncated, text));
            }
            take(part, done).map_err(|error| Failure::from_io("write the file", &error))?;
            let taken = part.len();
            self.start += taken;
            done += taken as u64;
        }
        Ok(())
    }
}

/// Where a list of changes goes.
#[derive(Debug)]
pub struct ChangeSink {
    sender: mpsc::Sender<Vec<Change>>,
}

impl ChangeSink {
    /// A sink that hands pages of up to 1024 changes to a channel which holds `pages` of them.
    #[must_use]
    pub fn channel(pages: usize) -> (Self, mpsc::Receiver<Vec<Change>>) {
        let (sender, receiver) = mpsc::channel(pages);
        (Self { sender }, receiver)
    }
}

impl wit::Host for State {}

impl wit::HostSink for State {
    fn write(&mut self, this: Resource<Sink>, bytes: Vec<u8>) -> HostResult<()> {
        self.check_length(bytes.len() as u64)?;
        Ok(self.at(&this)?.append(&bytes)?)
    }

    fn copy_from(
        &mut self,
        this: Resource<Sink>,
        file: Resource<File>,
        offset: u64,
        length: u64,
    ) -> HostResult<()> {
        let file = self.at(&file)?.clone();
        self.handles.get_mut(&this)?.append_file(&file, offset, length)
    }

    fn drop(&mut self, this: Resource<Sink>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

impl wit::HostSource for State {
    fn read(&mut self, this: Resource<Source>, length: u32) -> HostResult<Vec<u8>> {
        self.check_length(length.into())?;
        Ok(self.at(&this)?.read(length as usize)?)
    }

    fn copy_to(
        &mut self,
        this: Resource<Source>,
        file: Resource<File>,
        offset: u64,
        length: u64,
    ) -> HostResult<()> {
        let file = self.at(&file)?.writable()?.clone();
        let source = self.handles.get_mut(&this)?;
        Ok(source.consume(length, |part, done| {
            content::write_all_at(file.fd(), part, offset.saturating_add(done))
        })?)
    }

    fn skip(&mut self, this: Resource<Source>, length: u64) -> HostResult<()> {
        Ok(self.at(&this)?.consume(length, |_, _| Ok(()))?)
    }

    fn drop(&mut self, this: Resource<Source>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

impl wit::HostChangeSink for State {
    fn push(&mut self, this: Resource<ChangeSink>, changes: Vec<Change>) -> HostResult<()> {
        if changes.len() > MOST_CHANGES {
            let text = format!("{} changes in one call are more than {MOST_CHANGES}", changes.len());
            return Err(Failure::new(Code::Limit, text).into());
        }
        let (idle, cancel) = (self.limits.stream_idle(), self.operation.cancel.clone());
        Ok(send(&self.at(&this)?.sender, changes, idle, &cancel)?)
    }

    fn drop(&mut self, this: Resource<ChangeSink>) -> wasmtime::Result<()> {
        self.close(this)
    }
}
