//! Errors: what the host answered, with what was being done.
//!
//! Invariant: context is added once, where the object is known.

use crate::{Code, Error, Failure, HostFailure};
use std::fmt;

/// What the operations of a driver return.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Names what was being done when a host call failed.
pub trait Doing<T> {
    /// Turns a failure into an error; `what` is asked only then and says in lower case what was being done and to
    /// what: "create file `etc/passwd`".
    ///
    /// # Errors
    /// The failure, as [`Error::Host`].
    fn doing<W: fmt::Display>(self, what: impl FnOnce() -> W) -> Result<T>;

    /// Turns the failure with this code into `None`.
    ///
    /// # Errors
    /// Every other failure.
    fn unless(self, code: Code) -> Result<Option<T>, Failure>;
}

impl<T> Doing<T> for Result<T, Failure> {
    fn doing<W: fmt::Display>(self, what: impl FnOnce() -> W) -> Result<T> {
        self.map_err(|failure| host(what(), failure))
    }

    fn unless(self, code: Code) -> Result<Option<T>, Failure> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.code == code => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Makes an error of a failed host call.
pub fn host(doing: impl fmt::Display, failure: Failure) -> Error {
    Error::Host(HostFailure {
        doing: doing.to_string(),
        failure,
    })
}

/// Shows bytes of an archive or a layer to people: not printable bytes escaped, at most 256 bytes of them.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    /// Longer names say nothing more to a reader, and the host cuts lines at 4 KiB.
    const SHOWN_BYTES: usize = 256;
    let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let dots = if shown.len() < bytes.len() { "..." } else { "" };
    match core::str::from_utf8(shown) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text}{dots}"),
        _ => format!("{}{dots}", shown.escape_ascii()),
    }
}
