//! Blocks that a home keeps for removals on a disk that is full.
//!
//! A removal frees blocks, but needs a few first: for the rows, and for a name in the trash. The reserve is a file that has
//! blocks and no content. When there are no others, a removal has it give them up; it takes blocks again when there
//! are enough.
//!
//! Invariant: only what frees blocks is given any of them, or what needs them for a moment only.

use mica_sys::{content, filesystem};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Its name in a home.
const NAME: &str = "reserve";
/// What it keeps: a removal's transaction takes 20 KiB, and what it wrote is used again once it is in the file of rows.
const BYTES: u64 = 512 << 10;
/// How many times that must be free for it to take blocks again, so that it is not what makes a disk full.
const AMPLE: u64 = 2;

/// The reserve of a home.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
    is_whole: AtomicBool,
}

impl Reserve {
    /// Opens the file, or makes it, and has it take blocks.
    pub(crate) fn open(home: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(home.join(NAME))?;
        let reserve = Self {
            file,
            is_whole: AtomicBool::new(false),
        };
        reserve.refill();
        Ok(reserve)
    }

    /// Gives its blocks up; says whether it had any.
    pub(crate) fn give_up(&self) -> bool {
        if !self.is_whole.swap(false, Ordering::AcqRel) {
            return false;
        }
        // A journal frees blocks when it has them written down.
        let freed = self.file.set_len(0).and_then(|()| self.file.sync_all());
        match freed {
            Ok(()) => tracing::warn!("the disk is full: its reserve is used for removals"),
            Err(error) => tracing::warn!(%error, "the reserve cannot be given up"),
        }
        true
    }

    /// Does something that leaves nothing behind; if there is no room for it, with the blocks of the reserve.
    pub(crate) fn lend<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.give_up() => {
                let done = act();
                self.take();
                done
            }
            done => done,
        }
    }

    /// Takes blocks again if it has given them up and there are enough.
    pub(crate) fn refill(&self) {
        if self.is_whole.load(Ordering::Acquire) {
            return;
        }
        let had = self.file.metadata().map_or(0, |file| file.len());
        let free = filesystem::statfs(self.file.as_fd()).map_or(0, |found| found.free_bytes);
        if had >= BYTES || free >= AMPLE * BYTES {
            self.take();
        }
    }

    fn take(&self) {
        let file = self.file.as_fd();
        let taken =
            content::preallocate(file, BYTES).and_then(|()| content::set_length(file, BYTES));
        match taken {
            Ok(()) => self.is_whole.store(true, Ordering::Release),
            Err(error) => tracing::debug!(%error, "there is no reserve yet"),
        }
    }
}
