//! A reader that another thread reads ahead, and a digest that a third thread makes of the same bytes: inflating, hashing
//! and writing are done at the same time.
//!
//! Invariant: at most [`CHANNEL_PIECES`] pieces lie between two threads, so a slow driver holds the decompressor back
//! (backpressure); the digest is of all bytes that were handed out, and is there only after the end was.

use bytes::{Buf as _, Bytes};
use mica_text::hex;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that lie ready for a thread.
const CHANNEL_PIECES: usize = 8;

/// What is read ahead.
#[derive(Debug)]
pub(in crate::api) struct Ahead {
    current: Bytes,
    rest: Rest,
    to_digest: Option<SyncSender<Bytes>>,
}

/// What follows the current piece.
#[derive(Debug)]
enum Rest {
    Pieces(Receiver<io::Result<Bytes>>),
    /// The first piece could not be read, which no further read makes undone.
    Failed(io::Error),
    /// The end came.
    Nothing,
}

/// A digest that is being made, or was.
#[derive(Debug)]
pub(in crate::api) struct Summed(Sum);

#[derive(Debug)]
enum Sum {
    Made(Sha256, u64),
    Under(JoinHandle<(Sha256, u64)>),
}

/// Reads on a thread of its own, if there is more than a piece: to start a thread takes longer than a small layer.
///
/// # Errors
/// Where the thread cannot be started.
pub(in crate::api) fn read_ahead(mut reader: impl Read + Send + 'static) -> io::Result<Ahead> {
    let (current, rest) = match read_piece(&mut reader) {
        Ok(piece) if piece.len() < PIECE_BYTES => (piece, Rest::Nothing),
        Ok(piece) => {
            let (to_reader, pieces) = sync_channel(CHANNEL_PIECES);
            let named = std::thread::Builder::new().name("mica-inflate".to_owned());
            named.spawn(move || read_all(reader, &to_reader))?;
            (piece, Rest::Pieces(pieces))
        }
        Err(error) => (Bytes::new(), Rest::Failed(error)),
    };
    Ok(Ahead {
        current,
        rest,
        to_digest: None,
    })
}

/// Reads on a thread of its own, and makes a digest on another, if there is more than a piece.
///
/// # Errors
/// Where a thread cannot be started.
pub(in crate::api) fn ahead(reader: impl Read + Send + 'static) -> io::Result<(Ahead, Summed)> {
    let reader = read_ahead(reader)?;
    let mut digest = Sha256::new();
    digest.update(&reader.current);
    let mut count = reader.current.len() as u64;
    if !matches!(reader.rest, Rest::Pieces(_)) {
        return Ok((reader, Summed(Sum::Made(digest, count))));
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
    Ok((reader, Summed(Sum::Under(sum))))
}

/// Sends what a reader has; ends when no one takes it any more.
fn read_all(mut reader: impl Read, to: &SyncSender<io::Result<Bytes>>) {
    loop {
        // A piece without bytes is the end: a thread that breaks must not look like it.
        let piece = read_piece(&mut reader);
        let is_last = piece.as_ref().map_or(true, Bytes::is_empty);
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

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = match &mut self.rest {
                Rest::Nothing => return Ok(&[]),
                Rest::Failed(error) => {
                    let again = io::Error::new(error.kind(), error.to_string());
                    return Err(std::mem::replace(error, again));
                }
                Rest::Pieces(pieces) => match pieces.recv() {
                    Ok(piece) => piece?,
                    Err(_gone) => {
                        return Err(io::Error::other("the thread that reads ahead has ended"));
                    }
                },
            };
            if self.current.is_empty() {
                self.rest = Rest::Nothing;
                self.to_digest = None;
                return Ok(&[]);
            }
            if let Some(to_digest) = &self.to_digest {
                let gone = |_| io::Error::other("the thread of the digest broke");
                to_digest.send(self.current.clone()).map_err(gone)?;
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, bytes: usize) {
        self.current.advance(bytes);
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl Summed {
    /// The digest, as 64 hexadecimal digits, and the count of bytes. The reader must have been dropped or read to its end.
    pub(in crate::api) fn wait(self) -> io::Result<(String, u64)> {
        let broke = |_| io::Error::other("the thread of the digest broke");
        let (digest, count) = match self.0 {
            Sum::Made(digest, count) => (digest, count),
            Sum::Under(thread) => thread.join().map_err(broke)?,
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

    #[test]
    fn an_error_in_the_first_piece_stays_one() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
        let (mut reader, _sum) = ahead(Broken).unwrap();
        for _ in 0..3 {
            let error = reader.read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_thread_that_breaks_is_no_end() {
        struct Panics(bool);
        impl Read for Panics {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(!self.0, "a defect of a decoder");
                self.0 = true;
                Ok(buffer.len())
            }
        }
        let (mut reader, _sum) = ahead(Panics(false)).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
    }
}
