//! A reader that another thread reads ahead, and a digest that a third thread makes of the same bytes: inflating, hashing
//! and writing are done at the same time.
//!
//! Invariant: at most [`CHANNEL_PIECES`] pieces lie between two threads, so a slow driver holds the decompressor back
//! (backpressure); the digest is of all bytes that were handed out, and is there only after the end was.

use axum::body::Bytes;
use mica_text::hex;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that lie ready for a thread.
const CHANNEL_PIECES: usize = 8;

/// What is read ahead.
#[derive(Debug)]
pub(in crate::api) struct Ahead {
    /// Absent where the first piece was all.
    pieces: Option<Receiver<io::Result<Bytes>>>,
    current: Bytes,
    /// What went wrong in the first piece.
    failed: Option<io::Error>,
    to_digest: Option<SyncSender<Bytes>>,
}

/// A digest that is being made, or was.
#[derive(Debug)]
pub(in crate::api) struct Summed(State);

#[derive(Debug)]
enum State {
    Made(Sha256, u64),
    Under(JoinHandle<(Sha256, u64)>),
}

/// Reads on a thread of its own, if there is more than a piece: to start a thread takes longer than a small layer.
///
/// # Errors
/// Where the thread cannot be started.
pub(in crate::api) fn read_ahead(mut reader: impl Read + Send + 'static) -> io::Result<Ahead> {
    let (current, failed) = match read_piece(&mut reader) {
        Ok(current) => (current, None),
        Err(error) => (Bytes::new(), Some(error)),
    };
    let pieces = if current.len() < PIECE_BYTES {
        None
    } else {
        let (to_reader, pieces) = sync_channel(CHANNEL_PIECES);
        let named = std::thread::Builder::new().name("mica-inflate".to_owned());
        named.spawn(move || read_all(reader, &to_reader))?;
        Some(pieces)
    };
    Ok(Ahead {
        pieces,
        current,
        failed,
        to_digest: None,
    })
}

/// Reads on a thread of its own, and makes a digest on another.
///
/// # Errors
/// Where a thread cannot be started.
pub(in crate::api) fn ahead(reader: impl Read + Send + 'static) -> io::Result<(Ahead, Summed)> {
    let reader = read_ahead(reader)?;
    let mut digest = Sha256::new();
    digest.update(&reader.current);
    let mut count = reader.current.len() as u64;
    if reader.pieces.is_none() {
        return Ok((reader, Summed(State::Made(digest, count))));
    }
    let (to_digest, digested) = sync_channel::<Bytes>(CHANNEL_PIECES);
    let named = std::thread::Builder::new().name("mica-digest".to_owned());
    let sum = named.spawn(move || {
        for piece in digested {
            digest.update(&piece);
            count += piece.len() as u64;
        }
        (digest, count)
    })?;
    let reader = Ahead {
        to_digest: Some(to_digest),
        ..reader
    };
    Ok((reader, Summed(State::Under(sum))))
}

/// Sends what a reader has; ends when no one takes it any more.
fn read_all(mut reader: impl Read, to: &SyncSender<io::Result<Bytes>>) {
    loop {
        let piece = match read_piece(&mut reader) {
            Ok(piece) if piece.is_empty() => return,
            piece => piece,
        };
        let is_last = piece.is_err();
        if to.send(piece).is_err() || is_last {
            return;
        }
    }
}

/// As much as a piece holds, or what is left. `read_to_end` would ask for a few kilobytes first, again for each piece.
fn read_piece(reader: &mut impl Read) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = 0;
    while let Some(room) = piece.get_mut(length..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(length);
    Ok(piece.into())
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.current.is_empty() && !buffer.is_empty() {
            match self.pieces.as_ref().map(Receiver::recv) {
                Some(Ok(piece)) => self.current = piece?,
                // The end, for an error would have been told; or the thread broke, and then the digest is of less.
                Some(Err(_)) | None => {
                    self.to_digest = None;
                    return Ok(0);
                }
            }
            if let Some(to_digest) = &self.to_digest {
                let gone = |_| io::Error::other("the thread of the digest broke");
                to_digest.send(self.current.clone()).map_err(gone)?;
            }
        }
        let part = self.current.split_to(self.current.len().min(buffer.len()));
        if let Some(room) = buffer.get_mut(..part.len()) {
            room.copy_from_slice(&part);
        }
        Ok(part.len())
    }
}

impl Summed {
    /// The digest, as 64 hexadecimal digits, and the count of bytes. The reader must have been dropped or read to its end.
    pub(in crate::api) fn wait(self) -> io::Result<(String, u64)> {
        let broke = |_| io::Error::other("the thread of the digest broke");
        let (digest, count) = match self.0 {
            State::Made(digest, count) => (digest, count),
            State::Under(thread) => thread.join().map_err(broke)?,
        };
        Ok((hex(&digest.finalize()), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_is_the_same_and_has_its_digest() {
        for size in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 5] {
            let bytes: Vec<u8> = (0..=255).cycle().take(size).collect();
            let (mut reader, sum) = ahead(io::Cursor::new(bytes.clone())).unwrap();
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            let expected = hex(&Sha256::digest(&bytes));
            assert_eq!(sum.wait().unwrap(), (expected, size as u64));
        }
    }

    #[test]
    fn an_error_is_handed_on_and_a_reader_that_goes_ends_the_threads() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 2 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        let (mut reader, sum) = ahead(Broken(0)).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(reader);
        sum.wait().unwrap();
        let (mut reader, sum) = ahead(io::repeat(0)).unwrap();
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        assert_eq!(sum.wait().unwrap().1, PIECE_BYTES as u64);
    }
}
