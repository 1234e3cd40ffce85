//! What an operation in the sandbox can end with.
//!
//! Invariant: a variant is a decision that the caller can take; texts name the object, carry no protocol, and are safe to
//! show, whoever wrote them.

use crate::{Code, Culprit, Failure, SafeText};
use std::fmt::Display;

/// Why a component could not be loaded, or an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver cannot work on this kernel: the original's ErrNotSupported.
    #[error("driver not supported: {0}")]
    NotSupported(SafeText),
    /// Something the driver needs is missing: the original's ErrPrerequisites.
    #[error("prerequisites for driver not satisfied: {0}")]
    Prerequisites(SafeText),
    /// The driver cannot work on this file system: the original's ErrIncompatibleFS.
    #[error("backing file system is unsupported for this driver: {0}")]
    IncompatibleFs(SafeText),
    /// A layer does not exist.
    #[error("{0}")]
    NotFound(SafeText),
    /// A layer exists already.
    #[error("{0}")]
    Exists(SafeText),
    /// A layer is in use.
    #[error("{0}")]
    Busy(SafeText),
    /// An argument is wrong.
    #[error("{0}")]
    Invalid(SafeText),
    /// An archive is damaged or holds what may not be applied.
    #[error("{0}")]
    InvalidArchive(SafeText),
    /// A host call of the driver failed.
    #[error("{doing}: {}", failure.message)]
    Host {
        /// What the driver did.
        doing: SafeText,
        /// What the host answered.
        failure: Failure,
    },
    /// The driver broke: a trap, or an answer that is not allowed.
    #[error("driver failed: {0}")]
    Trapped(SafeText),
    /// The driver answers what cannot be true. It may have that from a layer or an archive, so it is no fault.
    #[error("driver is wrong: {0}")]
    Implausible(SafeText),
    /// The operation passed a deadline.
    #[error("operation timed out: {what}")]
    TimedOut {
        /// Which deadline.
        what: SafeText,
        /// Who is behind it.
        culprit: Culprit,
    },
    /// The operation reached a limit of the sandbox.
    #[error("limit reached: {what}")]
    LimitReached {
        /// Which limit.
        what: SafeText,
        /// Who is behind it.
        culprit: Culprit,
    },
    /// The operation was cancelled by the caller.
    #[error("operation was cancelled")]
    Cancelled,
    /// The component cannot be loaded.
    #[error("component rejected: {reason}")]
    Rejected {
        /// What is wrong with it.
        reason: SafeText,
        /// What would help.
        remedy: SafeText,
    },
    /// The component imports what it was not granted.
    #[error("component rejected: {reason}")]
    NotGranted {
        /// What it imports.
        reason: SafeText,
        /// The line to add.
        remedy: SafeText,
    },
    /// The sandbox itself failed.
    #[error("sandbox: {0}")]
    Runtime(SafeText),
}

impl Error {
    /// Whether the client let a stream stand still for longer than it may.
    #[must_use]
    pub fn is_of_client(&self) -> bool {
        matches!(self, Self::Host { failure, .. } if failure.code == crate::Code::TimedOut)
    }

    /// Whether the driver refused the machine rather than failed on it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NotSupported(_) | Self::Prerequisites(_) | Self::IncompatibleFs(_)
        )
    }

    /// A failure of the sandbox itself; `doing` says what was tried.
    pub(crate) fn runtime(doing: impl Display, cause: impl Display) -> Self {
        Self::Runtime(format!("{doing}: {cause}").into())
    }

    /// Refuses a component.
    pub(crate) fn rejected(reason: impl Display, remedy: impl Display) -> Self {
        Self::Rejected {
            reason: reason.to_string().into(),
            remedy: remedy.to_string().into(),
        }
    }

    /// Why a component cannot be loaded and what would help, if it is that.
    #[must_use]
    pub fn rejection(&self) -> Option<(&SafeText, &SafeText)> {
        match self {
            Self::Rejected { reason, remedy } | Self::NotGranted { reason, remedy } => {
                Some((reason, remedy))
            }
            _ => None,
        }
    }
}

impl Failure {
    /// A failure with a text of the host's.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A failed system call; `doing` says what was tried, on what.
    pub fn from_io(doing: impl Display, error: &std::io::Error) -> Self {
        Self {
            code: crate::capability::errno::code_of(error),
            message: format!("{doing}: {error}"),
        }
    }
}
