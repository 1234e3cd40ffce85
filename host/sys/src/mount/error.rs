//! Errors of mounting with the kernel's own words.
//!
//! Invariant: the error number is never lost; [`crate::errno::of`] finds it.

use std::fmt;
use std::io;

/// A failed mount: the kernel's error number and what it or this crate says about it. It is the
/// inner error of the [`io::Error`] that a mount function returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountError {
    /// The error number.
    pub errno: i32,
    /// The kernel's words, or why the call was not even made.
    pub message: String,
}

impl fmt::Display for MountError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = io::Error::from_raw_os_error(self.errno).to_string();
        write!(formatter, "{}: {}", plain.to_lowercase(), self.message)
    }
}

impl std::error::Error for MountError {}

/// An error with a number and words.
pub(super) fn explained(number: i32, message: impl Into<String>) -> io::Error {
    let kind = io::Error::from_raw_os_error(number).kind();
    io::Error::new(
        kind,
        MountError {
            errno: number,
            message: message.into(),
        },
    )
}
