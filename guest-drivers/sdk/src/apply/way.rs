//! Words for the way to a directory: what is asked for, where it led, what stood in it.
//!
//! Invariant: what is wrong with an archive and what is wrong with the host are never mixed up.

use super::seen::PathHash;
use crate::archive::reader::Reader;
use crate::error::host;
use crate::tree::Source;
use crate::{Code, Error, Failure};

/// Symbolic links on one way: the kernel's limit.
pub(super) const MAX_SYMLINKS: usize = 40;
/// What directories have that no entry describes.
pub(super) const IMPLIED_MODE: u32 = 0o755;

/// What to do about a directory that is missing on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it, also in the place of a file of the layers below.
    Create,
    /// Go no further.
    Stop,
}

/// Where a way has led.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the directory, which is the current one now.
    There,
    /// To nothing: a directory is missing.
    Nowhere,
    /// To a link of the layers below that waits, and from there on by these names; with [`Missing::Stop`] only.
    Waits(PathHash, Vec<Vec<u8>>),
}

/// Why a way leads nowhere.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// The archive is wrong.
    Archive(String),
    /// A host call failed.
    Host(String, Failure),
}

impl Obstacle {
    /// The error, which names the entry that is being read.
    pub(super) fn named<S: Source>(self, reader: &Reader<S>) -> Error {
        match self {
            Self::Archive(what) => reader.invalid(what),
            Self::Host(doing, failure) => host(doing, failure),
        }
    }

    /// The error, where no entry is being read any more.
    pub(super) fn unnamed(self) -> Error {
        match self {
            Self::Archive(what) => Error::InvalidArchive(what),
            Self::Host(doing, failure) => host(doing, failure),
        }
    }
}

/// What became of a step.
pub(super) enum Step {
    /// It was done.
    In,
    /// A symbolic link is to be followed.
    Turn,
    /// There is no directory.
    Stop,
    /// The link of this hash waits, and nothing is to be made behind it.
    Wait(PathHash),
}

/// Whether no directory has the name.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::NotADirectory | Code::Invalid)
}

/// The components of a symbolic link's target.
pub(super) fn steps(target: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let parts = target.split(|byte| *byte == b'/');
    parts.filter(|step| !matches!(*step, b"" | b"."))
}
