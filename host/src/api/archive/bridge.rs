//! From a body to a reader that blocks.
//!
//! Invariant: a reader sees the end of an archive only if the body came to its proper end.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use std::io::{self, Read};
use std::time::Duration;
use tokio::sync::mpsc;

/// Frames that may lie in the channel: enough that neither side waits for the other's turn.
const CHANNEL_FRAMES: usize = 8;
/// Bytes and time that are spent on a body that no one wants any more, so that the client reads the answer first.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

enum Piece {
    Bytes(Bytes),
    End,
    Fault(io::Error),
}

/// Puts a body into the channel.
#[derive(Debug)]
pub(in crate::api) struct Feeder {
    sender: mpsc::Sender<Piece>,
    idle: Duration,
}

/// Reads from the channel. Blocks; for a thread that may.
#[derive(Debug)]
pub(in crate::api) struct BodyReader {
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    is_over: bool,
}

/// The two ends. A body that stands still for `idle` is a fault.
pub(in crate::api) fn bridge(idle: Duration) -> (Feeder, BodyReader) {
    let (sender, receiver) = mpsc::channel(CHANNEL_FRAMES);
    let reader = BodyReader {
        receiver,
        current: Bytes::new(),
        is_over: false,
    };
    (Feeder { sender, idle }, reader)
}

impl Feeder {
    /// Hands the body on until it ends or no one reads it any more.
    pub(in crate::api) async fn feed(self, body: &mut Body) {
        loop {
            let piece = match tokio::time::timeout(self.idle, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Piece::Bytes(bytes),
                    // Trailers say nothing about an archive.
                    Err(_trailers) => continue,
                },
                Ok(Some(Err(error))) => Piece::Fault(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    format!("the body broke off: {error}"),
                )),
                Ok(None) => Piece::End,
                Err(_elapsed) => Piece::Fault(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nothing of the body came for {} s", self.idle.as_secs()),
                )),
            };
            let is_last = !matches!(piece, Piece::Bytes(_));
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

impl BodyReader {
    fn next(&mut self) -> io::Result<bool> {
        match self.receiver.blocking_recv() {
            Some(Piece::Bytes(bytes)) => {
                self.current = bytes;
                Ok(true)
            }
            Some(Piece::End) => {
                self.is_over = true;
                Ok(false)
            }
            Some(Piece::Fault(error)) => Err(error),
            None => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client has gone",
            )),
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.is_over || buffer.is_empty() || !self.next()? {
                return Ok(0);
            }
        }
        let part = self.current.split_to(self.current.len().min(buffer.len()));
        for (to, from) in buffer.iter_mut().zip(&part) {
            *to = *from;
        }
        Ok(part.len())
    }
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

    /// Feeds a body on this thread and reads it on another.
    fn carry(mut body: Body, idle: Duration) -> io::Result<Vec<u8>> {
        let (feeder, mut reader) = bridge(idle);
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        runtime().block_on(feeder.feed(&mut body));
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
        let (feeder, mut reader) = bridge(Duration::from_secs(5));
        drop(feeder);
        let error = reader.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
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
        let (feeder, reader) = bridge(Duration::from_secs(5));
        drop(reader);
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"more"))).unwrap();
        runtime().block_on(feeder.feed(&mut streamed(receiver)));
        drop(sender);
    }
}
