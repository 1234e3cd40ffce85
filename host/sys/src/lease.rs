//! Whether a file is open for writing anywhere.
//!
//! Invariant: one system call in each unsafe block; no lease is kept.
#![expect(unsafe_code, reason = "neither rustix nor nix wraps F_SETLEASE")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw::{check, is};

/// Says whether a file, which this process has open for reading, is open for writing as well, here or in any process. The
/// kernel gives a lease for reading only if no one can write.
///
/// # Errors
/// EACCES for the file of another owner, EINVAL where the file system has no leases.
pub fn has_writers(file: BorrowedFd<'_>) -> io::Result<bool> {
    match set_lease(file, libc::F_RDLCK) {
        Ok(()) => set_lease(file, libc::F_UNLCK).map(|()| false),
        Err(error) if is(&error, libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

fn set_lease(file: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the argument of this command is a number.
    let returned = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    check(returned.into()).map(drop)
}
