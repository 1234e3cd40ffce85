//! Who is told what a driver says while it works, and what it did.
//!
//! Invariant: whoever is told can neither hold an operation up nor change what comes of it.

use crate::{Right, Times, Trace};
use mica_text::SafeText;
use std::fmt::Debug;

/// Told what one operation of a driver says and does. It is called while the operation runs, so it must not wait.
pub trait Witness: Debug + Send + Sync {
    /// The driver, or the host about it, said something.
    fn line(&self, line: Line);

    /// The operation has ended, and this was written down of it; not called if nothing is to be written down.
    fn trace(&self, trace: Trace);

    /// Of how many host calls of the operation the times are wanted; nothing is measured for none.
    fn timed_calls(&self) -> usize {
        0
    }

    /// The operation has ended, and these were the times of its host calls; not called if none are wanted.
    fn times(&self, times: Times) {
        drop(times);
    }

    /// The driver did what it was not granted; told once for each right of an operation.
    fn denied(&self, _denial: Denial) {}
}

/// Something that a driver did and was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What.
    pub right: Right,
    /// What would grant it.
    pub remedy: String,
    /// Whether it was allowed all the same, because the driver is audited.
    pub is_allowed: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it was said.
    pub source: LineSource,
    /// What was said, on one line of 4 KiB at most.
    pub text: SafeText,
}

/// How a line was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineSource {
    /// On the driver's standard error.
    Stderr,
    /// On its standard output.
    Stdout,
    /// By `mica:host/log`, for the driver's author.
    Debug,
    /// By `mica:host/log`, worth knowing.
    Info,
    /// By `mica:host/log`: something was left out or done another way.
    Warn,
    /// By `mica:host/log`: something failed.
    Error,
    /// By the sandbox, which ended the operation: why, and where the driver was.
    Trap,
    /// By the host, about what it left out.
    Host,
}

impl LineSource {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Stdout => "stdout",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Host => "host",
        }
    }
}
