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

/// Bytes that are read at once from what is compressed.
const BUFFER_BYTES: usize = 64 << 10;
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

/// Notes errors on their way.
struct Noting<R> {
    inner: R,
    fault: Fault,
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.fault.note(error);
            }
        })
    }
}

/// A reader of the archive without its compression. It looks at the first bytes when it is read first, not before.
pub(in crate::api) fn decode(
    reader: impl Read + Send + 'static,
    wanted: Wanted,
    inflating: Inflating,
    limits: &ApiLimits,
) -> (Box<dyn Read + Send>, Fault) {
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

enum State {
    Before(Option<Box<dyn Read + Send>>),
    Open(Box<dyn Read + Send>),
}

/// Chooses the decompressor at the first read, which may block.
struct Late {
    state: State,
    wanted: Wanted,
    inflating: Inflating,
    limits: ApiLimits,
}

impl Read for Late {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::Before(reader) = &mut self.state {
            let gone = || io::Error::other("the archive was given up");
            let reader = reader.take().ok_or_else(gone)?;
            let opened = open(reader, self.wanted, &self.limits)?;
            self.state = State::Open(match (opened, self.inflating) {
                (Opened::Compressed(inflated), Inflating::Ahead) => Box::new(read_ahead(inflated)?),
                (Opened::Compressed(reader) | Opened::Plain(reader), _) => reader,
            });
        }
        match &mut self.state {
            State::Open(reader) => reader.read(buffer),
            State::Before(_) => Ok(0),
        }
    }
}

/// An archive without its compression, if it had one.
enum Opened {
    Plain(Box<dyn Read + Send>),
    Compressed(Box<dyn Read + Send>),
}

fn open(
    mut reader: Box<dyn Read + Send>,
    wanted: Wanted,
    limits: &ApiLimits,
) -> io::Result<Opened> {
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
    let compressed = |inner| Bounded::new(inner, most, expansion, Some(Arc::clone(&taken)));
    Ok(match coding {
        Coding::Plain => Opened::Plain(Box::new(Bounded::new(counted, most, expansion, None))),
        Coding::Gzip => Opened::Compressed(Box::new(compressed(gzip(counted)))),
        Coding::Zstd => {
            let window = limits.zstd_window_bytes;
            let frames = mica_zstd::Reader::new(counted, window, children::inflater());
            Opened::Compressed(Box::new(compressed(Box::new(frames))))
        }
    })
}

fn gzip(reader: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    let buffered = BufReader::with_capacity(BUFFER_BYTES, reader);
    Box::new(Gzip(MultiGzDecoder::new(buffered)))
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
