//! Error numbers to the failure codes of `mica:host`, in one table.
//!
//! Invariant: no other file of the capability layer looks at an error number.

use crate::Code;
use mica_sys::errno;
use std::io;

/// More than may be read at once: the text names the limit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TooMuch(pub(crate) String);

/// The failure code of a failed system call.
pub(crate) fn code_of(error: &io::Error) -> Code {
    if error.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) {
        return Code::Limit;
    }
    let Some(number) = error.raw_os_error() else {
        return code_of_kind(error.kind());
    };
    match number {
        errno::ENOENT | errno::ENODATA => Code::NotFound,
        errno::EEXIST => Code::Exists,
        errno::ENOTDIR => Code::NotADirectory,
        errno::EISDIR => Code::IsADirectory,
        errno::ELOOP => Code::Symlink,
        errno::ENOTEMPTY => Code::NotEmpty,
        errno::EBUSY | errno::ETXTBSY => Code::Busy,
        errno::EXDEV => Code::CrossDevice,
        errno::EROFS => Code::ReadOnly,
        errno::EPERM | errno::EACCES => Code::Denied,
        errno::ENAMETOOLONG => Code::NameTooLong,
        errno::EINVAL | errno::ERANGE | errno::EOVERFLOW | errno::E2BIG => Code::Invalid,
        errno::ENOSPC | errno::EDQUOT | errno::EFBIG => Code::NoSpace,
        errno::EMLINK => Code::TooManyLinks,
        errno::EMFILE | errno::ENFILE | errno::ENOMEM => Code::Limit,
        errno::ENOTBLK | errno::EOPNOTSUPP | errno::ENOSYS | errno::ENOTTY | errno::ENOTCONN => {
            Code::NotSupported
        }
        errno::EPIPE => Code::Closed,
        errno::ETIMEDOUT => Code::TimedOut,
        _ => Code::Io,
    }
}

/// The code of an error that did not come from the kernel.
fn code_of_kind(kind: io::ErrorKind) -> Code {
    match kind {
        io::ErrorKind::NotFound => Code::NotFound,
        io::ErrorKind::AlreadyExists => Code::Exists,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Code::Invalid,
        io::ErrorKind::UnexpectedEof => Code::Truncated,
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted => Code::Closed,
        io::ErrorKind::TimedOut => Code::TimedOut,
        io::ErrorKind::Unsupported => Code::NotSupported,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Code::NoSpace
        }
        io::ErrorKind::ResourceBusy => Code::Busy,
        _ => Code::Io,
    }
}
