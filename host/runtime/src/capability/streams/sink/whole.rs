//! An archive that the host sends by itself, all of it or a part.
//!
//! Invariant: the last bytes that are wanted go out only when the archive has turned out to be the right one.

use super::{Sink, Whole};
use crate::capability::HostError;
use crate::capability::streams::hashing::Hashing;
use crate::{Code, Failure};
use bytes::Bytes;
use mica_sys::content;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Reading the archive failed.
fn unread(error: io::Error) -> Failure {
    Failure::from_io("read the archive", &error)
}

/// The archive ended before its size.
fn shorter() -> Failure {
    Failure::new(
        Code::Io,
        "the archive of the layer was cut off on disk while it was sent",
    )
}

/// Which bytes of a piece that lies at `piece` are wanted.
fn within(wanted: &Range<u64>, piece: Range<u64>) -> Range<usize> {
    let place = |at: u64| usize::try_from(at.clamp(piece.start, piece.end) - piece.start);
    match (place(wanted.start), place(wanted.end)) {
        (Ok(start), Ok(end)) => start..end,
        // A piece is no longer than memory.
        _ => 0..0,
    }
}

impl Sink {
    /// Sends a file, which has this size, as the whole archive, or those bytes of it that are wanted. It must have this digest, unless that
    /// was found before.
    pub(in crate::capability) fn append_whole(
        &mut self,
        file: BorrowedFd<'_>,
        size: u64,
        (sha256, is_known): ([u8; 32], bool),
    ) -> Result<(), HostError> {
        self.check_open()?;
        // Its own entries before it, or the archive twice, would be an archive that nobody checked.
        if self.framing.bytes() > 0 {
            let text = "an archive can be sent only as the whole stream, and something was written already";
            return Err(Failure::new(Code::Invalid, text).into());
        }
        // Until the digest is right: a driver that goes on after an error must not end in an archive that looks whole.
        self.whole = Whole::Part;
        let wanted = match self.ask.take() {
            Some(ask) => ask(size, sha256),
            None => 0..size,
        };
        if is_known || wanted.is_empty() {
            self.send_range(file, wanted)?;
        } else {
            self.send_hashed(file, size, wanted, sha256)?;
        }
        self.whole = Whole::All(size);
        Ok(())
    }

    /// Sends bytes of a file whose digest is known to be right.
    fn send_range(&mut self, file: BorrowedFd<'_>, wanted: Range<u64>) -> Result<(), HostError> {
        let mut done = wanted.start;
        while done < wanted.end {
            let room = self.room()?;
            let most = usize::try_from(wanted.end - done).unwrap_or(usize::MAX);
            let most = most.min(room.len());
            let read = match room.get_mut(..most) {
                Some(part) => content::read_at(file, part, done).map_err(unread)?,
                None => 0,
            };
            if read == 0 {
                return Err(shorter().into());
            }
            self.filled += read;
            done += read as u64;
        }
        Ok(())
    }

    /// Reads all of a file, sends those bytes that are wanted, and the last of them once the digest has turned out to be right.
    #[expect(
        clippy::indexing_slicing,
        reason = "what is read lies within the buffer: the digest would be of less than what is sent"
    )]
    fn send_hashed(
        &mut self,
        file: BorrowedFd<'_>,
        size: u64,
        wanted: Range<u64>,
        sha256: [u8; 32],
    ) -> Result<(), HostError> {
        let mut hashing = Hashing::new();
        let (mut done, mut last) = (0, Bytes::new());
        while done < size {
            while self.filled < self.buffer.len() {
                let room = &mut self.buffer[self.filled..];
                match content::read_at(file, room, done + self.filled as u64).map_err(unread)? {
                    0 => break,
                    read => self.filled += read,
                }
            }
            let Some(chunk) = self.chunk() else {
                return Err(shorter().into());
            };
            hashing.push(chunk.clone()).map_err(unread)?;
            let end = done + chunk.len() as u64;
            let part = within(&wanted, done..end);
            if !part.is_empty() {
                let previous = std::mem::replace(&mut last, chunk.slice(part));
                if !previous.is_empty() {
                    self.hand_on(previous)?;
                }
            }
            done = end;
        }
        if hashing.finish().map_err(unread)? != sha256 {
            let text = "the archive of the layer was changed on disk: it is not the one that its index was made for";
            return Err(Failure::new(Code::Io, text).into());
        }
        // It is handed on at the end of the operation.
        self.buffer[..last.len()].copy_from_slice(&last);
        self.filled = last.len();
        Ok(())
    }
}
