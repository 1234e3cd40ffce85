//! Durability and locks.
//!
//! Invariant: an error of a sync is returned, never retried: some file systems report it once only.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{FlockOperation, flock, fsync, syncfs};
use rustix::io::Errno;

/// Writes everything of the file system that `fd` lies on to its device, and waits.
pub fn sync(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(syncfs(fd)?)
}

/// Writes one file or directory to its device, and waits.
pub fn sync_file(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fsync(fd)?)
}

/// Takes the exclusive lock of an open file, without waiting. Says whether it was free. The lock
/// lasts until every descriptor that shares this open file is closed.
pub fn try_lock_exclusive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        match flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether someone has taken a directory or file with [`try_lock_exclusive`]. Asking takes a shared lock for a moment, so
/// whoever takes an exclusive one just then has to try again.
pub fn is_locked(fd: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        match flock(fd, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                return flock(fd, FlockOperation::Unlock)
                    .map(|()| false)
                    .map_err(Into::into);
            }
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
