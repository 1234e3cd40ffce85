//! What can be wrong with an archive.
//!
//! Invariant: text of the archive in a message is safe to show.

use std::io;

/// What went wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The archive is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// The archive does not say which image is meant, or has none that is wanted.
    #[error("{what}")]
    Choice {
        /// What is not clear.
        what: String,
        /// What would make it clear.
        remedy: String,
    },
}

impl Error {
    /// Names what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
