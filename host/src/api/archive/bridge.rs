//! From a body to a reader that blocks.
//!
//! tokio-util makes the reader of a stream, and tokio-stream the stream of a channel. The sending half is this program's own,
//! because of what they do not offer: a limit that counts only the time in which the client is waited for (theirs goes on
//! while a driver works), an end that is told apart from a sender that was dropped, and a body that is still there when
//! the reader gives up, so that its rest can be drained.
//!
//! Invariant: a reader sees the end of an archive only if the body came to its proper end; after an error it sees errors.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use std::io::{self, Read};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Frames that may lie in the channel: enough that neither side waits for the other's turn.
const CHANNEL_FRAMES: usize = 8;
/// Bytes and time that are spent on a body that no one wants any more, so that the client reads the answer first.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a body, its end, or what broke it off.
type Piece = io::Result<Option<Bytes>>;

/// Puts a body into the channel.
#[derive(Debug)]
pub(in crate::api) struct Feeder {
    sender: mpsc::Sender<Piece>,
    idle: Duration,
}

/// The two ends. A body that stands still for `idle` is a fault. To be called on a runtime; the reader is for threads
/// that may block.
pub(in crate::api) fn bridge(idle: Duration) -> (Feeder, impl Read + Send + 'static) {
    let (sender, receiver) = mpsc::channel(CHANNEL_FRAMES);
    let gone = || io::Error::new(io::ErrorKind::ConnectionAborted, "the client has gone");
    // A channel that closes without an end was given up: it must never look like the end of the archive.
    let cut_off = tokio_stream::iter(std::iter::repeat_with(move || Err(gone())));
    let pieces = ReceiverStream::new(receiver).chain(cut_off);
    // Fused, because readers ask again at the end.
    let bytes = pieces.map_while(Piece::transpose).fuse();
    let reader = SyncIoBridge::new(StreamReader::new(bytes));
    (Feeder { sender, idle }, reader)
}

impl Feeder {
    /// Hands the body on until it ends or no one reads it any more.
    pub(in crate::api) async fn feed(self, body: &mut Body) {
        loop {
            let piece = match tokio::time::timeout(self.idle, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Ok(Some(bytes)),
                    // Trailers say nothing about an archive.
                    Err(_trailers) => continue,
                },
                Ok(Some(Err(error))) => Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    format!("the body broke off: {error}"),
                )),
                Ok(None) => Ok(None),
                Err(_elapsed) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nothing of the body came for {} s", self.idle.as_secs()),
                )),
            };
            let is_last = !matches!(piece, Ok(Some(_)));
            if self.sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
