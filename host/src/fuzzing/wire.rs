//! A client's bytes on their way to h2.

use crate::api::containerd::AnyAuthority;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

/// What h2 gets to see.
#[derive(Debug)]
pub struct Passed {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// How many bytes had been taken and handed on when the stream had stepped aside. `None` if it never did.
    pub aside: Option<(usize, usize)>,
    /// How many bytes the stream kept back, at most.
    pub kept: usize,
}

/// A connection on which bytes come in pieces, with nothing to read before each.
struct Pieces<'a> {
    bytes: &'a [u8],
    length: usize,
    taken: &'a Cell<usize>,
    is_due: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_due = !self.is_due;
        if self.is_due {
            return Poll::Pending;
        }
        let length = self.length.min(buffer.remaining()).min(self.bytes.len());
        let (now, rest) = self.bytes.split_at(length);
        buffer.put_slice(now);
        self.bytes = rest;
        self.taken.set(self.taken.get() + length);
        Poll::Ready(Ok(()))
    }
}

/// Sends bytes in pieces of a length, and reads them in rooms of a length, both not 0, through the stream that replaces
/// authorities.
///
/// # Panics
/// If the stream fails.
#[must_use]
#[expect(clippy::unwrap_used, reason = "a fuzz target has no one to tell")]
pub fn pass(sent: &[u8], piece: usize, room: usize) -> Passed {
    let taken = Cell::new(0);
    let mut stream = AnyAuthority::new(Pieces {
        bytes: sent,
        length: piece,
        taken: &taken,
        is_due: false,
    });
    let mut passed = Passed {
        bytes: Vec::new(),
        aside: None,
        kept: 0,
    };
    let mut room = vec![0; room];
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        let context = &mut Context::from_waker(Waker::noop());
        let is_ended = match Pin::new(&mut stream).poll_read(context, &mut buffer) {
            Poll::Pending => false,
            Poll::Ready(read) => {
                read.unwrap();
                buffer.filled().is_empty()
            }
        };
        passed.bytes.extend_from_slice(buffer.filled());
        if is_ended {
            return passed;
        }
        let (taken, given) = (taken.get(), passed.bytes.len());
        passed.kept = passed.kept.max(taken.saturating_sub(given));
        if stream.is_aside() {
            passed.aside.get_or_insert((taken, given));
        }
    }
}
