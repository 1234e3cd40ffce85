//! Who is told what a driver says while it works, and what it did.
//!
//! Invariant: whoever is told can neither hold an operation up nor change what comes of it.

use crate::Trace;
use mica_text::SafeText;
use std::fmt::Debug;

/// Told what one operation of a driver says and does. It is called while the operation runs, so it must not wait.
pub trait Witness: Debug + Send + Sync {
    /// The driver, or the host about it, said something.
    fn line(&self, line: Line);

    /// The operation has ended, and this was written down of it; not called if nothing is to be written down.
    fn trace(&self, trace: Trace);
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
