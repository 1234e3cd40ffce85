//! A directory that a probe works in.
//!
//! Invariant: it is gone when the value is dropped, whatever happened in between.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::raw::{is, os_error};
use crate::{Name, node, tree};

/// How the names of the directories that probes work in begin. One that is found later is left from
/// a process that was killed, and can be removed.
pub const SCRATCH_PREFIX: &str = ".mica-probe-";

/// How many names are tried.
const MAX_ATTEMPTS: u64 = 64;

/// A fresh directory that is removed on drop.
pub(super) struct Scratch<'a> {
    parent: BorrowedFd<'a>,
    name: Name,
    dir: OwnedFd,
}

impl<'a> Scratch<'a> {
    /// Makes a directory of mode 0700 with a name that is not taken.
    pub(super) fn create(parent: BorrowedFd<'a>) -> io::Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        for _ in 0..MAX_ATTEMPTS {
            let serial = COUNTER.fetch_add(1, Ordering::Relaxed);
            let text = format!(
                "{SCRATCH_PREFIX}{}-{}-{serial}",
                std::process::id(),
                now.as_nanos()
            );
            let name = Name::new(text.as_bytes()).or(Err(os_error(libc::EINVAL)))?;
            match node::create_directory(parent, &name, 0o700) {
                Ok(dir) => return Ok(Self { parent, name, dir }),
                Err(error) if is(&error, libc::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(os_error(libc::EEXIST))
    }

    /// The directory.
    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // A failure cannot be told from here; the prefix lets someone clean up later.
        let _gone = tree::remove(self.parent, &self.name);
    }
}
