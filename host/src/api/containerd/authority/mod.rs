//! Clients that send a socket's path as `:authority`: gRPC's of Python and C++, grpcurl, and others.
//!
//! h2 refuses a request whose `:authority` makes no URI and lets nobody else decide, gRPC's own servers take any, and
//! nothing here reads it. So what such a client sends is handed on with another authority of the same length. See
//! docs/decisions/0040-an-authority-that-is-a-path-is-replaced.md.
//!
//! Invariant: whatever does not follow HTTP/2 is handed on as it came, for h2 to refuse. After a first authority that h2
//! takes, which is containerd's, no byte is looked at.

mod field;
mod frames;
mod huffman;

use frames::Frames;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once while they are looked at.
const READ_BYTES: usize = 4 << 10;

/// A connection whose client may call itself what it likes.
#[derive(Debug)]
pub(crate) struct AnyAuthority<S> {
    stream: S,
    /// Nothing when bytes are handed on unseen.
    reading: Option<Box<Reading>>,
}

#[derive(Debug, Default)]
struct Reading {
    frames: Frames,
    /// Bytes for h2, and how many of them it has.
    ready: Vec<u8>,
    given: usize,
}

impl Reading {
    /// Hands on what is ready. Returns whether there was something.
    #[expect(
        clippy::indexing_slicing,
        reason = "no more is given than is ready: a part left out would break the connection's framing"
    )]
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.ready[self.given..];
        let now = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(now);
        self.given += now.len();
        !now.is_empty()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.ready.clear();
        self.given = 0;
        match bytes {
            // The end: a frame that is cut off is h2's matter.
            [] => self.frames.end(&mut self.ready),
            bytes => self.frames.pass(bytes, &mut self.ready),
        }
    }
}

impl<S> AnyAuthority<S> {
    /// A connection from its first byte on.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            reading: Some(Box::default()),
        }
    }

    /// Whether no byte is looked at any more.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_aside(&self) -> bool {
        self.reading.is_none()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let Some(reading) = &mut this.reading {
            if buffer.remaining() == 0 || reading.give(buffer) {
                return Poll::Ready(Ok(()));
            }
            if reading.frames.is_aside() {
                this.reading = None;
                break;
            }
            let mut chunk = [0; READ_BYTES];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut chunk))?;
            reading.take(chunk.filled());
        }
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::frames::tests::{PREFACE, headers};
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What is read of what is sent, and whether no byte is looked at any more.
    async fn read(sent: &[u8], at_once: usize) -> (Vec<u8>, bool) {
        let (mut client, server) = tokio::io::duplex(at_once);
        let mut read = vec![0; sent.len()];
        let bytes = sent.to_vec();
        let sending = tokio::spawn(async move {
            client.write_all(&bytes).await.unwrap();
            client
        });
        let mut stream = AnyAuthority::new(server);
        stream.read_exact(&mut read).await.unwrap();
        let is_aside = stream.is_aside();
        drop(sending.await.unwrap());
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the end");
        (read, is_aside)
    }

    #[tokio::test]
    async fn nothing_is_lost_when_bytes_are_no_longer_looked_at() {
        let rest = vec![7; 3 * READ_BYTES];
        for (authority, is_replaced) in [(&b"localhost"[..], false), (b"/run/m.sock", true)] {
            let sent = [PREFACE, &headers(authority), &rest].concat();
            for at_once in [1, 5, 64, 2 * READ_BYTES] {
                let (read, is_aside) = read(&sent, at_once).await;
                assert_eq!(read != sent, is_replaced);
                assert_eq!(is_aside, !is_replaced);
                assert!(read.ends_with(&rest));
            }
        }
    }

    #[tokio::test]
    async fn what_ends_within_a_frame_is_handed_on() {
        let sent = [PREFACE, &headers(b"/run/m.sock")].concat();
        for length in 0..sent.len() {
            let (mut client, server) = tokio::io::duplex(64);
            client.write_all(&sent[..length]).await.unwrap();
            drop(client);
            let mut read = Vec::new();
            let mut stream = AnyAuthority::new(server);
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, sent[..length]);
        }
    }
}
