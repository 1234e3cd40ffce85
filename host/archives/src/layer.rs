//! A layer of an image: its archive, decompressed and checked on the way.
//!
//! Invariant: the end of a layer's archive is an error unless the blob and what it decompresses to have the digests that the image
//! names, so whoever applies it applies the right one or nothing.

use crate::digest::Checked;
use crate::file::Piece;
use crate::{Digest, Error, Result};
use flate2::read::MultiGzDecoder;
use std::io::{self, BufReader, Cursor, Read};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How many times larger than its compressed form a layer may be, beyond the first bytes: what the daemon allows by default. It
/// gets the layer decompressed, and so cannot tell.
const MOST_EXPANSION: u64 = 2000;
const FREE_BYTES: u64 = 256 << 20;

/// Fails where a reader has more than so many bytes.
pub(crate) fn bounded<R: Read>(inner: R, most: u64) -> impl Read + use<R> {
    Bounded { inner, left: most }
}

struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let what = "it is far larger than its compressed form should make it";
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(read)
    }
}

/// A layer of an image.
#[derive(Debug)]
pub struct Layer {
    /// The digest of the archive, decompressed.
    pub diff_id: Digest,
    /// Bytes of the archive as it lies there.
    pub bytes: u64,
    pub(crate) blob: Piece,
    /// What the manifest says of the blob; Docker's says nothing.
    pub(crate) said: Option<(Digest, u64)>,
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// By the first bytes, which are read.
    pub(crate) fn of(reader: &mut impl Read) -> io::Result<Self> {
        let mut first = Vec::with_capacity(4);
        reader.take(4).read_to_end(&mut first)?;
        Ok(match first.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::Plain,
        })
    }
}

/// Decompresses gzip, one member after another.
pub(crate) fn gunzip<R: Read>(reader: R) -> MultiGzDecoder<BufReader<R>> {
    MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

impl Layer {
    /// The tar archive. `unzstd` decompresses zstd.
    ///
    /// # Errors
    /// [`Error::Io`]. While it is read, an error of [`io::ErrorKind::InvalidData`] for bytes that are others than the image says.
    pub fn open<Z>(self, unzstd: impl FnOnce(Box<dyn Read + Send>) -> Z) -> Result<impl Read + Send>
    where
        Z: Read + Send + 'static,
    {
        let what = "read a layer of the image";
        let mut blob: Box<dyn Read + Send> = match &self.said {
            Some((digest, bytes)) => {
                Box::new(Checked::new(self.blob, "blob", digest, Some(*bytes)))
            }
            None => Box::new(self.blob),
        };
        let mut first = Vec::with_capacity(4);
        let read = (&mut blob).take(4).read_to_end(&mut first);
        read.map_err(Error::io(what))?;
        let coding = Coding::of(&mut first.as_slice()).map_err(Error::io(what))?;
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(first).chain(blob));
        let plain: Box<dyn Read + Send> = match coding {
            Coding::Plain => whole,
            Coding::Gzip => Box::new(gunzip(whole)),
            Coding::Zstd => Box::new(unzstd(whole)),
        };
        let most = FREE_BYTES.max(self.bytes.saturating_mul(MOST_EXPANSION));
        Ok(Checked::new(
            bounded(plain, most),
            "layer",
            &self.diff_id,
            None,
        ))
    }
}
