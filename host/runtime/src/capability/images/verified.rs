//! Archives that this process has read before and found to be the right ones.
//!
//! A digest takes three times as long as sending the bytes that it is made of. The kernel notes each change of a file as its
//! time of change, which nobody can set; a file that has the time, size and inode that it had when its digest was right, is as
//! it was. What a disk loses by itself is found when the archive is read next by another process, or by whoever compares
//! the digest of what was sent.
//!
//! Invariant: a time of change counts only once it is old enough that a later change must have another.

use mica_sys::node::{self, Attributes};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How old a time of change must be: file systems note it in steps of up to two seconds.
const SETTLED_AGE: Duration = Duration::from_secs(3);
/// Archives that are known at the same time; a hundred bytes each.
const KNOWN_FILES: usize = 4096;

static KNOWN: LazyLock<Mutex<HashMap<Identity, [u8; 32]>>> = LazyLock::new(Mutex::default);

/// What tells a file, and that it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    node: (u64, u64),
    size: u64,
    changed: (i64, u32),
}

impl Identity {
    /// That of an open file; none while a change of it could go unseen.
    pub(super) fn of(file: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        Ok(Self::at(&node::stat_fd(file)?, SystemTime::now()))
    }

    fn at(found: &Attributes, now: SystemTime) -> Option<Self> {
        let changed = u64::try_from(found.changed.seconds).ok()?;
        let changed = UNIX_EPOCH.checked_add(Duration::from_secs(changed))?;
        // A clock that was set back makes the age an error.
        let age = now.duration_since(changed).ok()?;
        (age >= SETTLED_AGE).then_some(Self {
            node: (found.device, found.inode),
            size: found.size,
            changed: (found.changed.seconds, found.changed.nanoseconds),
        })
    }

    /// Whether the file has this digest, as far as this process knows.
    pub(super) fn has(&self, sha256: [u8; 32]) -> bool {
        known().get(self) == Some(&sha256)
    }

    /// The file had this digest.
    pub(super) fn found(self, sha256: [u8; 32]) {
        let mut known = known();
        if known.len() >= KNOWN_FILES {
            known.clear();
        }
        known.insert(self, sha256);
    }
}

fn known() -> MutexGuard<'static, HashMap<Identity, [u8; 32]>> {
    KNOWN.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_file_is_known_until_it_changes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"archive").unwrap();
        assert_eq!(Identity::of(file.as_fd()).unwrap(), None, "it is too young");
        let later = SystemTime::now() + 2 * SETTLED_AGE;
        let identity = |file: &std::fs::File| {
            Identity::at(&node::stat_fd(file.as_fd()).unwrap(), later).unwrap()
        };
        let before = identity(&file);
        assert!(!before.has([7; 32]));
        before.found([7; 32]);
        assert!(before.has([7; 32]) && !before.has([8; 32]));
        // Of the same size, and with the time of modification that it had.
        let modified = file.metadata().unwrap().modified().unwrap();
        loop {
            use std::os::unix::fs::FileExt as _;
            file.write_all_at(b"ARCHIVE", 0).unwrap();
            file.set_modified(modified).unwrap();
            // Within one tick of the kernel's clock it has the same time still.
            if identity(&file) != before {
                break;
            }
        }
        assert!(!identity(&file).has([7; 32]));
    }
}
