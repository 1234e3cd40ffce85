//! From a body to a reader that blocks.
//!
//! What has come lies in a queue, from which the reader takes all at once. It is woken when the body has nothing more at hand
//! or there is enough for a piece, and the other side when the queue is empty again: an archive of gigabytes comes in frames of
//! 64 KiB, and two threads that wake each other for each take longer to wake than to work.
//!
//! Invariant: a reader sees the end of an archive only if the body came to its proper end.

use axum::body::{Body, Bytes};
use bytes::Buf as _;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes that may lie in the queue: what its reader works on while it fills again is as much.
const QUEUE_BYTES: usize = 1 << 20;
/// Bytes for which a reader is woken: what the engine takes at once.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes and time that are spent on a body that no one wants any more, so that the client reads the answer first.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What both sides share.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something for the reader.
    filled: Condvar,
    /// There is room again, or no reader.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// What comes after the pieces.
    end: Option<io::Result<()>>,
    reader: Reader,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reader {
    #[default]
    Works,
    Waits,
    Gone,
}

/// Puts a body into the queue.
#[derive(Debug)]
pub(in crate::api) struct Feeder {
    shared: Arc<Shared>,
    idle: Duration,
}

/// Reads from the queue. Blocks; for a thread that may.
#[derive(Debug)]
pub(in crate::api) struct BodyReader {
    shared: Arc<Shared>,
    taken: VecDeque<Bytes>,
    is_over: bool,
}

/// The two ends. A body that stands still for `idle` is a fault.
pub(in crate::api) fn bridge(idle: Duration) -> (Feeder, BodyReader) {
    let shared = Arc::<Shared>::default();
    let reader = BodyReader {
        shared: Arc::clone(&shared),
        taken: VecDeque::new(),
        is_over: false,
    };
    (Feeder { shared, idle }, reader)
}

impl Feeder {
    /// Hands the body on until it ends or no one reads it any more.
    pub(in crate::api) async fn feed(self, body: &mut Body) {
        loop {
            let end = match tokio::time::timeout(self.idle, self.frame(body)).await {
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing about an archive.
                    if let Ok(bytes) = frame.into_data() {
                        self.shared.push(bytes);
                    }
                    if self.has_room().await {
                        continue;
                    }
                    return;
                }
                Ok(Some(Err(error))) => Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    format!("the body broke off: {error}"),
                )),
                Ok(None) => Ok(()),
                Err(_elapsed) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nothing of the body came for {} s", self.idle.as_secs()),
                )),
            };
            return self.shared.end(end);
        }
    }

    /// The next frame. Before it waits for one, the reader gets what there is.
    async fn frame(&self, body: &mut Body) -> Option<Result<http_body::Frame<Bytes>, axum::Error>> {
        poll_fn(|context| {
            let polled = Pin::new(&mut *body).poll_frame(context);
            if polled.is_pending() {
                self.shared.wake(0);
            }
            polled
        })
        .await
    }

    /// Waits until there is room in the queue; false if no one reads any more.
    async fn has_room(&self) -> bool {
        loop {
            let emptied = self.shared.emptied.notified();
            {
                let queue = self.shared.queue.lock();
                match queue.reader {
                    Reader::Gone => return false,
                    _ if queue.bytes < QUEUE_BYTES => return true,
                    _ => {}
                }
            }
            emptied.await;
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        let gone = io::Error::new(io::ErrorKind::ConnectionAborted, "the client has gone");
        self.shared.end(Err(gone));
    }
}

impl Shared {
    fn push(&self, bytes: Bytes) {
        // A frame without bytes would look like the end.
        if bytes.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        queue.bytes += bytes.len();
        queue.pieces.push_back(bytes);
        drop(queue);
        self.wake(PIECE_BYTES);
    }

    /// Wakes the reader if it waits and there are at least so many bytes for it.
    fn wake(&self, least: usize) {
        let mut queue = self.queue.lock();
        let is_enough = queue.bytes >= least.max(1) || queue.end.is_some();
        if queue.reader == Reader::Waits && is_enough {
            queue.reader = Reader::Works;
            self.filled.notify_one();
        }
    }

    /// Says what comes after the pieces; the first that is said counts.
    fn end(&self, end: io::Result<()>) {
        self.queue.lock().end.get_or_insert(end);
        self.wake(0);
    }
}

/// Takes what is left of a body, up to a limit in size and time.
pub(in crate::api) async fn drain(body: &mut Body) {
    let all = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
            if taken > DRAIN_BYTES {
                break;
            }
        }
    };
    // Whoever sends more than that finds the connection closed.
    let _in_time = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
}

impl BodyReader {
    /// Waits for more, and takes all that there is.
    fn take(&mut self) -> io::Result<()> {
        let mut queue = self.shared.queue.lock();
        while queue.pieces.is_empty() {
            match &queue.end {
                Some(Ok(())) => {
                    self.is_over = true;
                    return Ok(());
                }
                // It stays, for whoever asks again.
                Some(Err(error)) => return Err(io::Error::new(error.kind(), error.to_string())),
                None => {}
            }
            queue.reader = Reader::Waits;
            self.shared.filled.wait(&mut queue);
            queue.reader = Reader::Works;
        }
        std::mem::swap(&mut queue.pieces, &mut self.taken);
        let was_full = queue.bytes >= QUEUE_BYTES;
        queue.bytes = 0;
        drop(queue);
        if was_full {
            self.shared.emptied.notify_one();
        }
        Ok(())
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        self.shared.queue.lock().reader = Reader::Gone;
        self.shared.emptied.notify_one();
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken.is_empty() && !self.is_over {
            self.take()?;
        }
        // There is no piece without bytes.
        Ok(self.taken.front().map_or(&[], |piece| piece.as_ref()))
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(piece) = self.taken.front_mut() {
            piece.advance(bytes);
            if piece.is_empty() {
                self.taken.pop_front();
            }
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            // What is at hand is given at once; only for the first bytes is anything waited for.
            if filled > 0 && self.taken.is_empty() {
                break;
            }
            let read = self.fill_buf()?.read(room)?;
            if read == 0 {
                break;
            }
            self.consume(read);
            filled += read;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    /// Feeds a body on this thread and reads it on another, which asks again after the end.
    fn carry(mut body: Body, idle: Duration) -> io::Result<Vec<u8>> {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (feeder, mut reader) = bridge(idle);
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = reader.read_to_end(&mut bytes);
            let again = reader.read(&mut [0; 8]);
            match (read, again) {
                (Ok(_), Ok(0)) => Ok(bytes),
                (Err(error), Err(_)) => Err(error),
                other => panic!("an end is not the last word: {other:?}"),
            }
        });
        runtime.block_on(feeder.feed(&mut body));
        read.join().unwrap()
    }

    fn streamed(receiver: mpsc::Receiver<Result<Bytes, io::Error>>) -> Body {
        Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver))
    }

    #[test]
    fn a_body_comes_out_as_it_went_in() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        assert_eq!(
            carry(Body::from(bytes.clone()), Duration::from_secs(5)).unwrap(),
            bytes
        );
        assert_eq!(carry(Body::empty(), Duration::from_secs(5)).unwrap(), b"");
    }

    #[test]
    fn a_body_that_breaks_off_is_no_end() {
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"half"))).unwrap();
        sender
            .try_send(Err(io::ErrorKind::UnexpectedEof.into()))
            .unwrap();
        let error = carry(streamed(receiver), Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[test]
    fn a_client_that_has_gone_is_no_end() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (feeder, mut reader) = bridge(Duration::from_secs(5));
        drop(feeder);
        let read = std::thread::spawn(move || {
            let read = |_| reader.read(&mut [0; 8]).unwrap_err().kind();
            [(), ()].map(read)
        });
        assert_eq!(read.join().unwrap(), [io::ErrorKind::ConnectionAborted; 2]);
    }

    #[test]
    fn a_body_that_stands_still_is_given_up() {
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"half"))).unwrap();
        let error = carry(streamed(receiver), Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(sender);
    }

    #[test]
    fn frames_of_any_size_come_in_order_and_empty_ones_are_no_end() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * QUEUE_BYTES).collect();
        let sizes = [1, 0, 65_536, 7, 0, 300_000, QUEUE_BYTES];
        let (sender, receiver) = mpsc::channel(4);
        let sent = bytes.clone();
        let thread = std::thread::spawn(move || {
            let mut rest = Bytes::from(sent);
            for size in sizes.into_iter().cycle() {
                if rest.is_empty() {
                    return;
                }
                let piece = rest.split_to(size.min(rest.len()));
                sender.blocking_send(Ok(piece)).unwrap();
            }
        });
        let read = carry(streamed(receiver), Duration::from_secs(60)).unwrap();
        thread.join().unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn a_fault_is_told_as_often_as_it_is_asked_for() {
        let (feeder, mut reader) = bridge(Duration::from_secs(5));
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"half"))).unwrap();
        sender
            .try_send(Err(io::ErrorKind::UnexpectedEof.into()))
            .unwrap();
        runtime().block_on(feeder.feed(&mut streamed(receiver)));
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 4);
        for _ in 0..2 {
            let error = reader.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
    }

    #[test]
    fn feeding_ends_when_no_one_reads() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (feeder, reader) = bridge(Duration::from_secs(5));
        drop(reader);
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"more"))).unwrap();
        runtime.block_on(feeder.feed(&mut streamed(receiver)));
        drop(sender);
    }
}
