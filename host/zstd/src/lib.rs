//! Reads what is compressed by zstd (RFC 8878): any number of frames, skippable ones among them.
//!
//! libzstd takes a third of the time of the decoder in safe Rust, but it is C, and what it reads was written by strangers.
//! So it runs in a process of its own that has limits on memory and has given everything else away, as the one that compiles
//! components. To start that takes some milliseconds; in them the other decoder has done with most layers, so an archive
//! that is small when it is compressed is decompressed here.
//!
//! Invariant: no byte of a stranger reaches libzstd in a process that has privileges; a frame with a larger window than
//! allowed is refused before memory is taken for it; a frame that is cut, or whose checksum does not fit, is an error.

mod child;
mod inside;
mod safe;

pub use inside::inflate_child;
pub use mica_sys::Program;

use child::Running;
use safe::Safe;
use std::io::{self, Chain, Cursor, Read};

/// Compressed bytes up to which an archive is decompressed in this process: a megabyte without its compression, which the
/// decoder in Rust has done in the time in which a process starts.
const SMALL_BYTES: usize = 256 << 10;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Decompresses a stream. The thread that reads first must stay until the end, whoever reads then: the process ends with it.
#[derive(Debug)]
pub struct Reader {
    state: State,
    window: Window,
    program: Program,
}

/// The largest window, as the power of two.
#[derive(Clone, Copy, Debug)]
struct Window(u32);

enum State {
    /// Nothing was read.
    Before(Box<dyn Read + Send>),
    /// It is small.
    Here(Box<Safe<Cursor<Vec<u8>>>>),
    /// It is not.
    Elsewhere(Running),
    /// It could not be begun.
    Broken,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Before(_) => "Before",
            Self::Here(_) => "Here",
            Self::Elsewhere(_) => "Elsewhere",
            Self::Broken => "Broken",
        })
    }
}

/// What is fed to a process: what was read already, and the rest.
type Whole = Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

impl Reader {
    /// A reader of what is in `source`, without the compression. Windows may have up to `window_bytes`, rounded down to a power
    /// of two. Large archives are decompressed by `program`.
    pub fn new(source: impl Read + Send + 'static, window_bytes: u64, program: Program) -> Self {
        Self {
            state: State::Before(Box::new(source)),
            window: Window(window_bytes.max(1).ilog2()),
            program,
        }
    }

    /// Reads until it is known whether the archive is small.
    fn begin(&self, mut source: Box<dyn Read + Send>) -> io::Result<State> {
        let mut first = Vec::new();
        let most = (SMALL_BYTES as u64).saturating_add(1);
        (&mut source).take(most).read_to_end(&mut first)?;
        let is_small = first.len() <= SMALL_BYTES;
        let first = Cursor::new(first);
        if is_small {
            return Ok(State::Here(Box::new(Safe::new(first, self.window))));
        }
        Running::start(&self.program, self.window, first.chain(source)).map(State::Elsewhere)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::Before(_) = self.state
            && let State::Before(source) = std::mem::replace(&mut self.state, State::Broken)
        {
            self.state = self.begin(source)?;
        }
        match &mut self.state {
            State::Here(decoder) => decoder.read(buffer),
            State::Elsewhere(process) => process.read(buffer),
            State::Before(_) | State::Broken => Err(io::Error::other("it was given up")),
        }
    }
}

impl Window {
    fn bytes(self) -> u64 {
        1_u64.checked_shl(self.0).unwrap_or(u64::MAX)
    }
}

/// What is wrong with the bytes.
fn damaged(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {what}"))
}

/// What is wrong with bytes that end too early.
const CUT: &str = "it ends within a frame";

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::path::PathBuf;

    #[test]
    fn a_small_archive_needs_no_process() {
        let nowhere = Program {
            path: PathBuf::from("/nonexistent"),
            arguments: Vec::new(),
        };
        let text = b"what stands for an archive".repeat(1000);
        let packed = compress_to_vec(&text[..], CompressionLevel::Fastest);
        let mut read = Vec::new();
        let mut reader = Reader::new(Cursor::new(packed), 1 << 27, nowhere.clone());
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
        // What is large needs one, and says so if there is none.
        let mut reader = Reader::new(io::repeat(0), 1 << 27, nowhere);
        let error = reader.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        assert!(reader.read(&mut [0]).is_err());
    }
}
