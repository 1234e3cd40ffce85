//! The socket of a connection.
//!
//! gRPC's clients of Go measure their connection with a ping after an answer, unless one is under way. To answer that at
//! once costs both sides a write and a wake-up with each request. So an answer to a ping waits, and meanwhile there are no
//! more of them.
//!
//! Invariant: frames stay whole and in order, but for answers to pings, which wait for [`PATIENCE`] and go between two
//! frames.

use super::Executor;
use hyper::rt::{self, ReadBufCursor};
use mica_sys::socket::peek;
use rustix::event::PollFlags;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// How long the answer to a ping waits. Clients that ask whether a connection lives wait for seconds.
const PATIENCE: Duration = Duration::from_millis(20);
/// Bytes that are read at a time.
const READ_BYTES: usize = 16 << 10;
/// What a frame of HTTP/2 begins with: three bytes of length, the kind, flags, four bytes of the stream (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;
/// Kinds of frames that have a block of headers: HEADERS, PUSH_PROMISE, CONTINUATION; and the flag of the last of a block.
const BLOCKS: [u8; 3] = [1, 5, 9];
const END_HEADERS: u8 = 4;
/// The head of an answer to a ping: eight bytes, PING, ACK, of the connection itself (6.7).
const PONG: [u8; HEAD_BYTES] = [0, 0, 8, 6, 1, 0, 0, 0, 0];
/// Bytes of such a frame.
const PONG_BYTES: usize = HEAD_BYTES + 8;

/// The socket, as the thread that waits for it sees it.
#[derive(Debug)]
pub(super) struct Socket {
    file: UnixStream,
    wanted: Mutex<Wanted>,
}

/// What is waited for.
#[derive(Debug, Default)]
struct Wanted {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who is to be woken in any case, and when.
    alarm: Option<(Instant, Waker)>,
    /// Bytes that were read and are still there.
    looked: usize,
    /// There may be more.
    is_full: bool,
}

impl Socket {
    /// A connected socket that does not block.
    pub(super) fn new(file: UnixStream) -> Self {
        Self {
            file,
            wanted: Mutex::default(),
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Takes what was looked at out of the socket, so that the rest can be waited for.
    pub(super) fn settle(&self) {
        self.consume(&mut self.wanted());
    }

    /// What is waited for, and for how long.
    pub(super) fn interest(&self) -> (PollFlags, Option<Duration>) {
        let wanted = self.wanted();
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, wanted.reader.is_some());
        flags.set(PollFlags::OUT, wanted.writer.is_some());
        let now = Instant::now();
        let alarm = wanted.alarm.as_ref();
        let left = alarm.map(|(at, _)| at.saturating_duration_since(now));
        (flags, left)
    }

    /// Reads what has not been read before, and leaves it where it is: to take it wakes a client of Go's, which waits for
    /// room to write as well, and needs none. Nothing more is there until it is waited for.
    fn look<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let mut wanted = self.wanted();
        if wanted.looked > buffer.len() / 2 {
            self.consume(&mut wanted);
        } else if wanted.looked > 0 && !wanted.is_full {
            return Err(ErrorKind::WouldBlock.into());
        }
        let there = peek(&self.file, buffer)?;
        let new = buffer.get(wanted.looked..there).unwrap_or_default();
        if new.is_empty() && wanted.looked > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wanted.is_full = there == buffer.len();
        wanted.looked = there;
        Ok(new)
    }

    /// Takes what was looked at out of the socket. What is wrong with it is found by whoever looks next.
    fn consume(&self, wanted: &mut Wanted) {
        let mut left = std::mem::take(&mut wanted.looked);
        let mut consumed = [0; 1024];
        while left > 0 {
            let most = left.min(consumed.len());
            let bytes = consumed.get_mut(..most).unwrap_or_default();
            match (&self.file).read(bytes) {
                Ok(read) if read > 0 => left -= read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    /// Wakes whoever waits for what has happened.
    pub(super) fn wake(&self, happened: PollFlags) {
        let mut wanted = self.wanted();
        // An error, or the end, is found by whoever asks next.
        let is_broken = happened.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        let now = Instant::now();
        let alarm = wanted.alarm.take_if(|(at, _)| *at <= now);
        let reader = (is_broken || happened.contains(PollFlags::IN))
            .then(|| wanted.reader.take())
            .flatten();
        let writer = (is_broken || happened.contains(PollFlags::OUT))
            .then(|| wanted.writer.take())
            .flatten();
        drop(wanted);
        let alarm = alarm.map(|(_, waker)| waker);
        [reader, writer, alarm]
            .into_iter()
            .flatten()
            .for_each(Waker::wake);
    }

    /// Forgets who waits.
    pub(super) fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.wanted());
        drop(forgotten);
    }
}

/// Where in a frame a stream is.
#[derive(Debug, Default)]
struct Frames {
    /// What is there of the head of a frame.
    head: Vec<u8>,
    /// Bytes of its body that are still to come.
    left: usize,
    /// A block of headers goes on in the next frame, which no other may come before (6.10).
    is_block_open: bool,
}

impl Frames {
    /// Whether another frame may begin here.
    fn are_whole(&self) -> bool {
        self.head.is_empty() && self.left == 0 && !self.is_block_open
    }

    /// Goes on by these bytes.
    fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let body = self.left.min(bytes.len());
            self.left -= body;
            bytes = bytes.get(body..).unwrap_or_default();
            let head = bytes.len().min(HEAD_BYTES - self.head.len());
            let (begun, rest) = bytes.split_at(head);
            self.head.extend_from_slice(begun);
            bytes = rest;
            if let [high, middle, low, kind, flags, _, _, _, _] = self.head[..] {
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                if BLOCKS.contains(&kind) {
                    self.is_block_open = flags & END_HEADERS == 0;
                }
                self.head.clear();
            }
        }
    }
}

/// The stream of a connection of HTTP/2, for its tasks.
#[derive(Debug)]
pub(crate) struct Stream {
    executor: Arc<Executor>,
    buffer: Box<[u8]>,
    /// What was written.
    frames: Frames,
    /// An answer to a ping that is kept back, or the rest of one, and until when.
    held: Vec<u8>,
    until: Option<Instant>,
}

impl Stream {
    pub(super) fn new(executor: Arc<Executor>) -> Self {
        Self {
            executor,
            buffer: vec![0; READ_BYTES].into(),
            frames: Frames::default(),
            held: Vec::with_capacity(PONG_BYTES),
            until: None,
        }
    }

    /// Keeps an answer to a ping back.
    fn hold(&mut self, pong: &[u8], context: &Context<'_>) {
        self.held.extend_from_slice(pong);
        let until = Instant::now() + PATIENCE;
        self.until = Some(until);
        let waker = context.waker().clone();
        self.want(|wanted| wanted.alarm = Some((until, waker)));
    }

    /// Whether what is kept back is to be written now: a part of it was, or it has waited for long enough.
    fn is_due(&self) -> bool {
        let is_begun = !self.held.is_empty() && self.held.len() < PONG_BYTES;
        let has_waited = || self.until.is_some_and(|until| until <= Instant::now());
        is_begun || self.frames.are_whole() && has_waited()
    }

    /// Writes what is kept back, if it is due.
    fn release(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_due() {
            return Poll::Ready(Ok(()));
        }
        while !self.held.is_empty() {
            let written = ready!(self.write(context, &[IoSlice::new(&self.held)]))?;
            self.held.drain(..written);
        }
        self.until = None;
        Poll::Ready(Ok(()))
    }

    fn write(&self, context: &Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            match (&self.executor.socket.file).write_vectored(parts) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.want(|wanted| wanted.writer = Some(context.waker().clone()));
                    return Poll::Pending;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Notes what is waited for.
    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.executor.socket.wanted());
        self.executor.notice();
    }
}

impl Drop for Stream {
    /// Tells the client at once, whoever still has the socket; what was looked at has been read.
    fn drop(&mut self) {
        self.executor.socket.settle();
        // A client that has gone needs not be told.
        let _told = self.executor.socket.file.shutdown(Shutdown::Both);
    }
}

impl rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // A socket that takes nothing now is written to when it does.
        if let Poll::Ready(released) = self.release(context) {
            released?;
        }
        let this = &mut *self;
        let room = cursor.remaining().min(this.buffer.len());
        let Some(buffer) = this.buffer.get_mut(..room) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match this.executor.socket.look(buffer) {
                Ok(new) => {
                    cursor.put_slice(new);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    this.want(|wanted| wanted.reader = Some(context.waker().clone()));
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.release(context))?;
        if let [only] = parts
            && only.len() == PONG_BYTES
            && only.starts_with(&PONG)
            && self.held.is_empty()
            && self.frames.are_whole()
        {
            self.hold(only, context);
            return Poll::Ready(Ok(PONG_BYTES));
        }
        let written = ready!(self.write(context, parts))?;
        let mut left = written;
        for part in parts {
            let taken = part.get(..left.min(part.len())).unwrap_or_default();
            self.frames.advance(taken);
            left -= taken.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is kept back stays so until it is due.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket that takes nothing now is written to when it does.
        match self.release(context) {
            Poll::Ready(released) => Poll::Ready(released),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.until = self.until.map(|_| Instant::now());
        ready!(self.release(context))?;
        // A client that has gone needs not be told.
        Poll::Ready(match self.executor.socket.file.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        })
    }
}
