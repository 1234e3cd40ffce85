//! Error numbers to the contract's codes.
//!
//! Invariant: the same code for the same number as in the host.

use crate::mica::host::types::{Code, Failure};
use rustix::io::Errno;
use std::fmt::Display;
use std::io;

/// A failure of the host's own making.
pub(crate) fn refused(code: Code, text: impl Display) -> Failure {
    Failure {
        code,
        message: text.to_string(),
    }
}

/// A failed system call.
pub(crate) fn failed<E: Into<io::Error>>(doing: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| {
        let error = error.into();
        refused(code_of(&error), format!("{doing}: {error}"))
    }
}

fn code_of(error: &io::Error) -> Code {
    let Some(number) = Errno::from_io_error(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Code::Truncated,
            io::ErrorKind::BrokenPipe => Code::Closed,
            io::ErrorKind::Unsupported => Code::NotSupported,
            _ => Code::Io,
        };
    };
    match number {
        Errno::NOENT | Errno::NODATA => Code::NotFound,
        Errno::EXIST => Code::Exists,
        Errno::NOTDIR => Code::NotADirectory,
        Errno::ISDIR => Code::IsADirectory,
        Errno::LOOP => Code::Symlink,
        Errno::NOTEMPTY => Code::NotEmpty,
        Errno::BUSY | Errno::TXTBSY => Code::Busy,
        Errno::XDEV => Code::CrossDevice,
        Errno::ROFS => Code::ReadOnly,
        Errno::PERM | Errno::ACCESS => Code::Denied,
        Errno::NAMETOOLONG => Code::NameTooLong,
        Errno::INVAL | Errno::RANGE | Errno::OVERFLOW | Errno::TOOBIG => Code::Invalid,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Code::NoSpace,
        Errno::MLINK => Code::TooManyLinks,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Code::Limit,
        Errno::NOTBLK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY => Code::NotSupported,
        Errno::PIPE => Code::Closed,
        Errno::TIMEDOUT => Code::TimedOut,
        _ => Code::Io,
    }
}
