//! How far a transfer is, for whoever waits for it.
//!
//! Invariant: nothing that is sent or read depends on it.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Bytes that are sent before it is told that they were.
const PIECE_BYTES: usize = 64 << 10;

/// What is told of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It begins, and has so many bytes.
    Begins(u64),
    /// So many more have passed.
    Passed(u64),
}

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Watch(Option<Arc<dyn Fn(Passing) + Send + Sync>>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    pub(crate) fn new(watch: impl Fn(Passing) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }

    pub(crate) fn tell(&self, passing: Passing) {
        if let Some(watch) = &self.0 {
            watch(passing);
        }
    }
}

/// A body that is sent piece by piece.
pub(crate) struct Watched {
    rest: Bytes,
    watch: Watch,
}

impl Watched {
    pub(crate) fn new(bytes: Bytes, watch: Watch) -> Self {
        Self { rest: bytes, watch }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.watch.tell(Passing::Passed(length as u64));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
