//! What a request carries.
//!
//! Invariant: a stream is read by a thread of its own, at most [`CHANNEL_PIECES`] pieces ahead of the connection.

use parking_lot::Mutex;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;

/// Bytes of a piece of a stream: large enough that a system call costs nothing.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that are read before they can be sent.
const CHANNEL_PIECES: usize = 4;

/// What a request carries.
#[derive(Debug)]
pub(super) struct Body {
    pieces: Pieces,
    content_type: Option<&'static str>,
    /// What is told of it, as further headers.
    about: Vec<(&'static str, String)>,
}

#[derive(Debug)]
enum Pieces {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

/// Why a stream could not be read to its end, once that has happened.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceError(Arc<Mutex<Option<io::Error>>>);

impl SourceError {
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().take()
    }

    fn set(&self, error: io::Error) {
        *self.0.lock() = Some(error);
    }
}

impl Body {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new(), None)
    }

    /// A document.
    pub(super) fn json(document: &Value) -> Self {
        Self::whole(document.to_string().into(), Some("application/json"))
    }

    /// Bytes.
    pub(super) fn bytes(bytes: Bytes) -> Self {
        Self::whole(bytes, Some("application/octet-stream"))
    }

    fn whole(bytes: Bytes, content_type: Option<&'static str>) -> Self {
        Self {
            pieces: Pieces::Whole(Some(bytes)),
            content_type,
            about: Vec::new(),
        }
    }

    /// The same, with further headers.
    pub(super) fn about(self, about: Vec<(&'static str, String)>) -> Self {
        Self { about, ..self }
    }

    /// Further headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.about
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// What `source` has until its end, sent in chunks; and why it ended too early, if it does.
    pub(super) fn stream(mut source: impl Read + Send + 'static) -> (Self, SourceError) {
        let (to, pieces) = mpsc::channel(CHANNEL_PIECES);
        let error = SourceError::default();
        let told = error.clone();
        std::thread::spawn(move || {
            loop {
                let piece = read_piece(&mut source);
                let is_last = match &piece {
                    Ok(bytes) => bytes.is_empty(),
                    Err(error) => {
                        told.set(io::Error::new(error.kind(), error.to_string()));
                        true
                    }
                };
                if matches!(&piece, Ok(bytes) if bytes.is_empty())
                    || to.blocking_send(piece).is_err()
                    || is_last
                {
                    break;
                }
            }
        });
        let body = Self {
            pieces: Pieces::Stream(pieces),
            content_type: Some("application/x-tar"),
            about: Vec::new(),
        };
        (body, error)
    }

    pub(super) fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// Bytes, where that is known before.
    pub(super) fn length(&self) -> Option<usize> {
        match &self.pieces {
            Pieces::Whole(bytes) => bytes.as_ref().map(Bytes::len),
            Pieces::Stream(_) => None,
        }
    }
}

fn read_piece(source: &mut impl Read) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match source.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece.into());
            }
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut self.pieces {
            Pieces::Whole(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()).map(Ok),
            Pieces::Stream(pieces) => ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}
