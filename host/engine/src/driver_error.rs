//! What an operation in the sandbox ended with, in the engine's words.
//!
//! Invariant: one table; every text says what was being done to which layer and store.

use crate::Error;
use mica_runtime::{Code, Error as DriverError, Failure};
use std::io;

/// Translates; `doing` names action, layer and store: create layer `a` in store `default`.
pub(crate) fn translate(driver: &str, doing: &str, error: DriverError) -> Error {
    let failed = |reason: String| Error::DriverFailed {
        driver: driver.to_owned(),
        reason,
    };
    match error {
        DriverError::NotSupported(text) => Error::NotSupported(format!("{doing}: {text}")),
        DriverError::Prerequisites(text) => Error::Prerequisites(format!("{doing}: {text}")),
        DriverError::IncompatibleFs(text) => Error::IncompatibleFs(format!("{doing}: {text}")),
        // The engine has checked what is there and what is not, so the driver's room disagrees with the record.
        DriverError::NotFound(text) | DriverError::Exists(text) => {
            failed(format!("{doing}: {text}"))
        }
        DriverError::Busy(text) => Error::Busy(format!("{doing}: {text}")),
        DriverError::Invalid(text) => Error::Invalid(format!("{doing}: {text}")),
        DriverError::InvalidArchive(text) => Error::InvalidArchive(format!("{doing}: {text}")),
        DriverError::Host {
            doing: what,
            failure,
        } => host_failure(doing, &what, failure),
        DriverError::Trapped(text) | DriverError::Implausible(text) => {
            failed(format!("{doing}: {text}"))
        }
        DriverError::TimedOut { what, .. } => Error::TimedOut(format!("{doing}: {what}")),
        DriverError::LimitReached { what, .. } => Error::LimitReached(format!("{doing}: {what}")),
        DriverError::Cancelled => Error::Cancelled,
        DriverError::Rejected { reason, remedy } | DriverError::NotGranted { reason, remedy } => {
            Error::DriverRejected {
                reason: reason.into(),
                remedy: remedy.into(),
            }
        }
        DriverError::Runtime(text) => Error::Sandbox(format!("{doing}: {text}")),
        other => Error::Sandbox(format!("{doing}: {other}")),
    }
}

fn host_failure(doing: &str, what: &str, failure: Failure) -> Error {
    let Failure { code, message } = failure;
    let text = format!("{doing}: {what}: {message}");
    match code {
        Code::NoSpace => Error::NoSpace(text),
        Code::Busy => Error::Busy(text),
        Code::TimedOut => Error::TimedOut(text),
        Code::Limit => Error::LimitReached(text),
        Code::NotSupported => Error::NotSupported(text),
        Code::Truncated => Error::InvalidArchive(text),
        // The reader of a stream has gone: no one is left to be told more.
        Code::Closed => Error::Cancelled,
        Code::NotFound
        | Code::Exists
        | Code::NotADirectory
        | Code::IsADirectory
        | Code::Symlink
        | Code::NotEmpty
        | Code::CrossDevice
        | Code::ReadOnly
        | Code::Denied
        | Code::InvalidName
        | Code::NameTooLong
        | Code::Invalid
        | Code::TooManyLinks
        | Code::Io => Error::Io {
            doing: format!("{doing}: {what}"),
            source: io::Error::other(message),
        },
    }
}
