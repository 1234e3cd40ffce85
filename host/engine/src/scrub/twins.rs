//! Whether a tree is a true copy of another.
//!
//! Invariant: what is compared is what a list of digests holds: names, kinds, content, owners, modes, hard links, times of files and
//! extended attributes.

use super::digests::Digests;
use super::pace::Pace;
use super::walk::{self, Rigor};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU64;

/// Compares trees.
pub(crate) struct Comparer<'a> {
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Comparer<'a> {
    /// `stop` ends it.
    pub(crate) fn new(stop: &'a dyn Fn() -> bool) -> Self {
        Self { stop }
    }

    /// The first thing in which a copy differs from its original, in words.
    ///
    /// # Errors
    /// `Interrupted` when it is to end; `FileTooLarge` when there are more nodes than a list may have; what reading says.
    pub(crate) fn difference(
        &self,
        original: BorrowedFd<'_>,
        copy: BorrowedFd<'_>,
    ) -> io::Result<Option<String>> {
        let (wanted, found) = (self.list(original)?, self.list(copy)?);
        if wanted == found {
            return Ok(None);
        }
        let Some(digests) = Digests::parse(wanted) else {
            return Ok(Some("it cannot be told in what".to_owned()));
        };
        let read = AtomicU64::new(0);
        let mut pace = Pace::new(self.stop, &read);
        let (found, _) = walk::compare(copy, &digests, Rigor::Everything, &mut pace)?;
        let first = found.named.first();
        let times = || "times of files differ".to_owned();
        Ok(Some(first.map_or_else(times, |file| {
            format!("`{}`: {}", file.path, file.detail)
        })))
    }

    fn list(&self, tree: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
        let read = AtomicU64::new(0);
        let mut pace = Pace::new(self.stop, &read);
        walk::take(tree, None, None, &mut pace).map(|(list, _)| list)
    }
}
