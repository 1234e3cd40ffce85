//! The way from the top of a tree down to where a walk is.
//!
//! Only the lowest [`OPEN_LEVELS`] directories of the way are open. A directory further up is opened
//! again from below by `..` when the walk comes back to it, and must be the one that was left.
//!
//! Invariant: at most [`OPEN_LEVELS`] descriptors, and memory for each level that does not grow with
//! the number of its entries.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use crate::node::{Attributes, Kind, stat_fd};
use crate::raw::os_error;

/// How many directories are open at a time: deeper than nearly all trees that people make, and far
/// below the number of descriptors that a process may have.
pub(super) const OPEN_LEVELS: usize = 32;

/// What a walk knows of one level.
pub(super) trait Level {
    /// The directory is closed for now: what can be read again should be forgotten, and reading
    /// goes on with a fresh descriptor that stands at the start.
    fn closed(&mut self);
}

/// A level that nothing is known of.
impl Level for () {
    fn closed(&mut self) {}
}

struct Step<L> {
    dir: Option<OwnedFd>,
    device: u64,
    inode: u64,
    level: L,
}

/// The way down, the top first.
pub(super) struct Trail<L> {
    steps: Vec<Step<L>>,
}

impl<L: Level> Trail<L> {
    /// A way that ends at its top.
    pub(super) fn new(top: OwnedFd, attributes: &Attributes, level: L) -> Self {
        let mut trail = Self { steps: Vec::new() };
        trail.push(top, attributes, level);
        trail
    }

    /// Goes one level down, into an open directory with these attributes.
    pub(super) fn push(&mut self, dir: OwnedFd, attributes: &Attributes, level: L) {
        let Attributes { device, inode, .. } = *attributes;
        self.steps.push(Step {
            dir: Some(dir),
            device,
            inode,
            level,
        });
        let high = self.steps.len().checked_sub(OPEN_LEVELS + 1);
        if let Some(step) = high.and_then(|index| self.steps.get_mut(index))
            && step.dir.take().is_some()
        {
            step.level.closed();
        }
    }

    /// The lowest directory and what is known of it. `None` when the walk is over.
    pub(super) fn lowest(&mut self) -> Option<(BorrowedFd<'_>, &mut L)> {
        let step = self.steps.last_mut()?;
        Some((step.dir.as_ref()?.as_fd(), &mut step.level))
    }

    /// The directory above the lowest one. `None` at the top.
    ///
    /// # Errors
    /// ESTALE when the lowest directory was moved away.
    pub(super) fn above(&mut self) -> io::Result<Option<BorrowedFd<'_>>> {
        let [.., above, lowest] = self.steps.as_mut_slice() else {
            return Ok(None);
        };
        if above.dir.is_none() {
            let below = lowest.dir.as_ref().ok_or_else(|| os_error(libc::EBADF))?;
            above.dir = Some(reopen_above(below.as_fd(), above.device, above.inode)?);
        }
        Ok(above.dir.as_ref().map(AsFd::as_fd))
    }

    /// Goes one level up.
    ///
    /// # Errors
    /// ESTALE when the lowest directory was moved away.
    pub(super) fn pop(&mut self) -> io::Result<()> {
        self.above()?;
        self.steps.pop();
        Ok(())
    }
}

/// Opens the directory above an open one, and makes sure that it is the one that is expected.
fn reopen_above(below: BorrowedFd<'_>, device: u64, inode: u64) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let above = openat(below, c"..", flags, Mode::empty())?;
    let found = stat_fd(above.as_fd())?;
    if (found.kind, found.device, found.inode) == (Kind::Directory, device, inode) {
        Ok(above)
    } else {
        Err(os_error(libc::ESTALE))
    }
}
