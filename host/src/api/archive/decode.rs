//! Which compression an archive has, and its reader.
//!
//! Invariant: one compression at most is undone; what comes out is bounded.

use super::ahead::read_ahead;
use super::bound::{Bounded, Counted};
use crate::children;
use crate::config::ApiLimits;
use flate2::bufread::MultiGzDecoder;
use parking_lot::Mutex;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

/// Bytes that are read at once from what has no pieces of its own.
const BUFFER_BYTES: usize = 256 << 10;
/// What a reader must have seen to know any compression by its first bytes.
const MAGIC_BYTES: usize = 6;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Coding {
    /// None.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What a request says of the compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Wanted {
    /// Nothing: the first bytes decide.
    Found,
    /// This one.
    Told(Coding),
}

/// On which thread a compression is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Inflating {
    /// On the one that reads.
    Here,
    /// On one of its own, while the driver writes what came before.
    Ahead,
}

/// Keeps the first thing that went wrong in an archive's own bytes.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Fault(Arc<Mutex<Option<io::Error>>>);

impl Fault {
    /// Takes what went wrong.
    pub(in crate::api) fn take(&self) -> Option<io::Error> {
        self.0.lock().take()
    }

    fn note(&self, error: &io::Error) {
        let mut noted = self.0.lock();
        noted.get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
    }
}

/// Notes errors on their way. Bytes that lie ready are handed through, not copied.
struct Noting<R> {
    inner: R,
    fault: Fault,
}

/// Notes what is no mere interruption.
fn noting(fault: &Fault) -> impl FnOnce(&io::Error) {
    |error| {
        if error.kind() != io::ErrorKind::Interrupted {
            fault.note(error);
        }
    }
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(noting(&self.fault))
    }
}

impl<R: BufRead> BufRead for Noting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf().inspect_err(noting(&self.fault))
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
    }
}

/// An archive, read piece by piece.
type Archive = Box<dyn BufRead + Send>;

/// A reader of the archive without its compression. It looks at the first bytes when it is read first, not before.
pub(in crate::api) fn decode(
    reader: impl BufRead + Send + 'static,
    wanted: Wanted,
    inflating: Inflating,
    limits: &ApiLimits,
) -> (Archive, Fault) {
    let fault = Fault::default();
    let late = Late {
        state: State::Before(Some(Box::new(reader))),
        wanted,
        inflating,
        limits: limits.clone(),
    };
    let noting = Noting {
        inner: late,
        fault: fault.clone(),
    };
    (Box::new(noting), fault)
}

/// A reader of pieces, made of any.
pub(in crate::api) fn in_pieces<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

enum State {
    Before(Option<Archive>),
    Open(Archive),
}

/// Chooses the decompressor at the first read, which may block.
struct Late {
    state: State,
    wanted: Wanted,
    inflating: Inflating,
    limits: ApiLimits,
}

impl Late {
    fn opened(&mut self) -> io::Result<&mut Archive> {
        if let State::Before(reader) = &mut self.state {
            let gone = || io::Error::other("the archive was given up");
            let reader = reader.take().ok_or_else(gone)?;
            let opened = open(reader, self.wanted, &self.limits)?;
            self.state = State::Open(match (opened, self.inflating) {
                (Opened::Plain(reader), _) => reader,
                (Opened::Compressed(inflated), Inflating::Ahead) => Box::new(read_ahead(inflated)?),
                (Opened::Compressed(inflated), Inflating::Here) => Box::new(in_pieces(inflated)),
            });
        }
        match &mut self.state {
            State::Open(reader) => Ok(reader),
            State::Before(_) => Err(io::Error::other("the archive was not opened")),
        }
    }
}

impl Read for Late {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.opened()?.read(buffer)
    }
}

impl BufRead for Late {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.opened()?.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let State::Open(reader) = &mut self.state {
            reader.consume(bytes);
        }
    }
}

/// An archive without its compression, if it had one.
enum Opened {
    Plain(Archive),
    Compressed(Box<dyn Read + Send>),
}

fn open(mut reader: Archive, wanted: Wanted, limits: &ApiLimits) -> io::Result<Opened> {
    let mut first = Vec::with_capacity(MAGIC_BYTES);
    (&mut reader)
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut first)?;
    let found = find(&first)?;
    let coding = match wanted {
        Wanted::Found => found,
        Wanted::Told(told) => told,
    };
    let (counted, taken) = Counted::new(io::Cursor::new(first).chain(reader));
    let (most, expansion) = (limits.archive_bytes, limits.expansion);
    let compressed = |inner: Box<dyn Read + Send>| {
        let bounded = Bounded::new(inner, most, expansion, Some(Arc::clone(&taken)));
        Opened::Compressed(Box::new(bounded))
    };
    Ok(match coding {
        Coding::Plain => Opened::Plain(Box::new(Bounded::new(counted, most, expansion, None))),
        Coding::Gzip => compressed(Box::new(Gzip(MultiGzDecoder::new(counted)))),
        Coding::Zstd => {
            let window = limits.zstd_window_bytes;
            let frames = mica_zstd::Reader::new(counted, window, children::inflater());
            compressed(Box::new(frames))
        }
    })
}

/// Names the compression in errors, and makes of a cut stream what it is: a damaged archive.
struct Gzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::InvalidData, format!("gzip: {error}"))
            }
            _ => error,
        })
    }
}

/// The compression that the first bytes tell.
fn find(first: &[u8]) -> io::Result<Coding> {
    let unknown = |name: &str| {
        let text = format!(
            "it is compressed by {name}, which is not read: give it plain, or by gzip or zstd"
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    };
    match first {
        [0x1f, 0x8b, ..] => Ok(Coding::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Coding::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unknown("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => unknown("bzip2"),
        _ => Ok(Coding::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write as _;

    const TEXT: &[u8] = b"an archive, or what stands for one";

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: Vec<u8>, wanted: Wanted) -> io::Result<Vec<u8>> {
        let unpack = |inflating| {
            let (bytes, limits) = (io::Cursor::new(bytes.clone()), ApiLimits::default());
            let (mut reader, fault) = decode(bytes, wanted, inflating, &limits);
            let mut read = Vec::new();
            let result = reader.read_to_end(&mut read);
            assert_eq!(
                fault.take().is_some(),
                result.is_err(),
                "a fault is noted, and nothing else"
            );
            result.map(|_| read)
        };
        let (here, ahead) = (unpack(Inflating::Here), unpack(Inflating::Ahead));
        match (&here, &ahead) {
            (Ok(here), Ok(ahead)) => assert_eq!(here, ahead),
            (Err(here), Err(ahead)) => assert_eq!(here.to_string(), ahead.to_string()),
            other => panic!("one thread or two make a difference: {other:?}"),
        }
        ahead
    }

    #[test]
    fn the_first_bytes_tell_the_compression() {
        for bytes in [
            TEXT.to_vec(),
            gzipped(TEXT),
            compress_to_vec(TEXT, CompressionLevel::Fastest),
        ] {
            assert_eq!(unpack(bytes, Wanted::Found).unwrap(), TEXT);
        }
        let two = [gzipped(b"one "), gzipped(b"two")].concat();
        assert_eq!(unpack(two, Wanted::Found).unwrap(), b"one two");
        assert_eq!(unpack(Vec::new(), Wanted::Found).unwrap(), b"");
        assert_eq!(unpack(vec![0x1f], Wanted::Found).unwrap(), [0x1f]);
    }

    #[test]
    fn what_the_request_says_must_be_so() {
        assert_eq!(
            unpack(gzipped(TEXT), Wanted::Told(Coding::Gzip)).unwrap(),
            TEXT
        );
        assert!(unpack(TEXT.to_vec(), Wanted::Told(Coding::Gzip)).is_err());
        assert!(unpack(gzipped(TEXT), Wanted::Told(Coding::Zstd)).is_err());
    }

    #[test]
    fn what_is_cut_damaged_or_of_another_kind_is_refused() {
        let packed = gzipped(&vec![5; 100_000]);
        let mut damaged = packed.clone();
        let last = damaged.len() - 6;
        damaged[last] ^= 1;
        for bytes in [
            packed[..packed.len() / 2].to_vec(),
            damaged,
            b"\xfd7zXZ\0rest".to_vec(),
            b"BZh91AY&SY".to_vec(),
        ] {
            let error = unpack(bytes, Wanted::Found).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }
}
