//! Bytes as a sequence of requests to one protocol, over one daemon's engine.
//!
//! Lines of the input: the first names the call, the second what is in the path, the rest is the body up to a line
//! with `---`. So a dictionary of words and a corpus of text files are enough for libFuzzer to find its way.

use std::path::PathBuf;

use mica::fuzzing::{Answer, Interfaces, Protocol};
use tempfile::TempDir;

use crate::canary::Canary;

/// The parts of one request.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// What is asked for.
    pub call: &'a [u8],
    /// What it is about.
    pub about: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

/// Descriptors that an open store keeps: its directories, its rows, and a reserve.
const STORE_DESCRIPTORS: usize = 16;

/// The engine and its interfaces, and what lies beside them.
#[derive(Debug)]
pub struct Daemon {
    interfaces: Interfaces,
    canary: Canary,
    /// The directories of its stores.
    stores: PathBuf,
    _directory: TempDir,
}

impl Default for Daemon {
    fn default() -> Self {
        let directory = TempDir::new_in("/dev/shm").expect("a directory in memory");
        let home = directory.path().join("daemon");
        std::fs::create_dir(&home).expect("make the daemon's directory");
        let interfaces = Interfaces::open(&home);
        Self {
            interfaces,
            canary: Canary::new(directory.path()),
            stores: home.join("root/stores"),
            _directory: directory,
        }
    }
}

impl Daemon {
    /// Asks; `None` if the parts make no HTTP request.
    pub fn ask(
        &self,
        protocol: Protocol,
        method: &[u8],
        target: &[u8],
        headers: &[(&str, &[u8])],
        body: Vec<u8>,
    ) -> Option<Answer> {
        self.interfaces.ask(protocol, method, target, headers, body)
    }

    /// Compares what lies beside the daemon's directory.
    ///
    /// # Panics
    /// If something changed.
    pub fn check(&self) {
        let stores = std::fs::read_dir(&self.stores).map_or(0, Iterator::count);
        self.canary.check(stores * STORE_DESCRIPTORS);
    }
}

/// The requests of an input, sixteen at most.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (call, after) = cut(rest, b"\n");
        let (about, after) = cut(after, b"\n");
        let (body, after) = cut(after, b"\n---\n");
        rest = after;
        Some(Part { call, about, body })
    })
    .take(16)
}

/// What is before and what is behind the first `mark`; all and nothing if there is none.
fn cut<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.windows(mark.len()).position(|at| at == mark) {
        Some(at) => (&bytes[..at], &bytes[at + mark.len()..]),
        None => (bytes, &[]),
    }
}

/// One of `words` by the first byte; the bytes themselves for what is left over.
pub fn choose<'a>(bytes: &'a [u8], words: &[&'a str]) -> &'a [u8] {
    match bytes {
        [digit @ b'0'..=b'9'] | [digit @ b'A'..=b'Z'] => {
            let at = match digit {
                b'0'..=b'9' => digit - b'0',
                _ => digit - b'A' + 10,
            };
            words
                .get(usize::from(at))
                .map_or(bytes, |word| word.as_bytes())
        }
        _ => bytes,
    }
}
