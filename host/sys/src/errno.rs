//! The error numbers that callers decide by, so that they need no dependency of their own.
//!
//! Invariant: constants and one accessor, nothing else.

use std::io;

pub use libc::{
    E2BIG, EACCES, EAGAIN, EBADF, EBADMSG, EBUSY, EDQUOT, EEXIST, EFAULT, EFBIG, EINTR, EINVAL,
    EIO, EISDIR, ELOOP, EMFILE, EMLINK, ENAMETOOLONG, ENFILE, ENODATA, ENODEV, ENOENT, ENOMEM,
    ENOSPC, ENOSYS, ENOTBLK, ENOTCONN, ENOTDIR, ENOTEMPTY, ENOTSUP, ENOTTY, ENXIO, EOPNOTSUPP,
    EOVERFLOW, EPERM, EPIPE, ERANGE, EROFS, ESPIPE, ESTALE, ETIMEDOUT, ETXTBSY, EUCLEAN, EXDEV,
};

/// The kernel's error number in `error`, also when a mount call added the kernel's own words to it
/// (then [`io::Error::raw_os_error`] has none). `None` for an error that did not come from the kernel.
pub fn of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let inner = error
            .get_ref()?
            .downcast_ref::<crate::mount::MountError>()?;
        Some(inner.errno)
    })
}
