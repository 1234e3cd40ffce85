//! Blocks that a home keeps for removals on a disk that is full.
//!
//! A removal frees blocks, but needs a few first: for the rows, and for a name in the trash. The reserve is a file that has
//! blocks and no content. When there are no others, a removal has it give them up; it takes blocks again when there
//! are enough.
//!
//! Invariant: only what frees blocks is given any of them, or what needs them for a moment only.

use mica_sys::{content, filesystem};
use parking_lot::{Mutex, MutexGuard};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Its name in a home.
pub(crate) const NAME: &str = "reserve";
/// What it keeps: a removal's transaction takes 20 KiB, and what it wrote is used again once it is in the file of rows.
const RESERVE_BYTES: u64 = 512 << 10;
/// How many times that must be free for it to take all of its blocks again, so that it is not what makes a disk full.
const REGROWTH_FACTOR: u64 = 2;
/// What it takes at least of a disk that has less.
const MIN_RESERVE_BYTES: u64 = 4 << 10;

/// The reserve of a home.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
    /// Bytes that it has.
    kept: Mutex<u64>,
}

impl Reserve {
    /// Opens the file, or makes it, and has it take blocks.
    pub(crate) fn open(home: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(home.join(NAME))?;
        let kept = file.metadata()?.len();
        let reserve = Self {
            file,
            kept: Mutex::new(kept),
        };
        reserve.refill();
        Ok(reserve)
    }

    /// Bytes that it has: none while they are lent.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.try_lock().map_or(0, |kept| *kept)
    }

    fn kept(&self) -> MutexGuard<'_, u64> {
        self.kept.lock()
    }

    /// Does something for which there was no room with the blocks of the reserve, which takes again what is left of them: what
    /// frees blocks, or needs them for a moment only. Others wait meanwhile.
    pub(crate) fn lend<T>(&self, act: impl FnOnce() -> T) -> T {
        let mut kept = self.kept();
        if *kept > 0 {
            tracing::warn!("the disk is full: its reserve is used");
            // A journal frees blocks when it has them written down.
            if let Err(error) = self.empty().and_then(|()| self.file.sync_all()) {
                tracing::warn!(%error, "the reserve cannot be given up");
            }
        }
        let done = act();
        *kept = self.take(RESERVE_BYTES);
        done
    }

    /// Takes all blocks again if it has given some up and there are enough.
    pub(crate) fn refill(&self) {
        // Whoever holds the lock lends the blocks, and takes them back itself.
        let Some(mut kept) = self.kept.try_lock() else {
            return;
        };
        if *kept >= RESERVE_BYTES {
            return;
        }
        let free = filesystem::statfs(self.file.as_fd()).map_or(0, |found| found.free_bytes);
        if free >= REGROWTH_FACTOR * RESERVE_BYTES {
            *kept = self.take(RESERVE_BYTES).max(*kept);
        }
    }

    /// Takes as many blocks as there are, up to `most` bytes. Says how many bytes that are.
    fn take(&self, most: u64) -> u64 {
        let (mut taken, mut step) = (0, most);
        while step >= MIN_RESERVE_BYTES && taken < most {
            match content::preallocate(self.file.as_fd(), taken + step) {
                Ok(()) => taken += step,
                // No file system tells how many blocks a file can really get, so it is tried with fewer.
                Err(_) => step /= 2,
            }
        }
        // What a step took that failed goes with the change of the length.
        let cut = self.file.set_len(RESERVE_BYTES);
        match cut.and_then(|()| self.file.set_len(taken)) {
            Ok(()) => taken,
            Err(_) => 0,
        }
    }

    /// Gives all blocks back; those behind the end of the file go only with a change of its length.
    fn empty(&self) -> io::Result<()> {
        self.file.set_len(RESERVE_BYTES)?;
        self.file.set_len(0)
    }
}
