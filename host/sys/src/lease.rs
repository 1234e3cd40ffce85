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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn who_writes_is_seen_as_long_as_the_file_is_open() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(has_writers(reader.as_fd()).unwrap());
        drop(writer);
        assert!(!has_writers(reader.as_fd()).unwrap());
        // No lease is left that would keep the next writer waiting.
        drop(File::options().write(true).open(&path).unwrap());
        assert!(!has_writers(reader.as_fd()).unwrap());
    }
}
