//! What a handle into a private copy of a layer knows of the original.
//!
//! Invariant: goes along with every handle that is reached from another, through directories and mounts alike.
//!
//! See docs/decisions/0027-a-shared-file-is-separated-at-its-first-change.md.

use mica_sys::Name;
use mica_sys::tree::{Seen, SharedFiles};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What the nodes below a directory belong to besides it.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    files: Arc<SharedFiles>,
    seen: Seen,
}

impl Sharing {
    pub(super) fn new(files: Arc<SharedFiles>) -> Self {
        let seen = Seen::Plainly;
        Self { files, seen }
    }

    /// The same, seen through an overlay that lies over it.
    pub(super) fn through_overlay(&self) -> Self {
        let (files, seen) = (Arc::clone(&self.files), Seen::ThroughOverlay);
        Self { files, seen }
    }

    /// Makes the node of a name in `dir` the copy's own.
    pub(super) fn own(&self, dir: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
        self.files.own(dir, name, self.seen)
    }

    /// As [`Sharing::own`], for a node that is to get a further name.
    pub(super) fn own_for_link(&self, dir: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
        self.files.own_for_link(dir, name, self.seen)
    }
}
