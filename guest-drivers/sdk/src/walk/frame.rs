//! One directory of a walk.
//!
//! Invariant: `pending` holds directories whose names are prefixes of one another, so the last one comes first.

use super::pairs::Pairs;
use crate::Entry;
use crate::tree::Directory;

/// A directory that is being walked.
pub(super) struct Frame<D: Directory> {
    /// Whether the new side has it.
    pub(super) new: bool,
    /// Whether the old side has it.
    pub(super) old: bool,
    /// Whether the new side says only what differs.
    pub(super) sparse: bool,
    /// What is in it.
    pub(super) pairs: Pairs<D::Listing>,
    /// Directories in it that were reported and are to be entered.
    pub(super) pending: Vec<Pending>,
    /// Bytes of its path.
    pub(super) path: usize,
    /// Its own entry, as long as nothing below it has changed.
    pub(super) unannounced: Option<Entry>,
}

/// A directory that is to be entered.
pub(super) struct Pending {
    /// Its name.
    pub(super) name: Vec<u8>,
    /// Whether the old side has it too.
    pub(super) old: bool,
    /// Whether the new side says only what differs.
    pub(super) sparse: bool,
    /// Its entry, if it has not been reported.
    pub(super) unannounced: Option<Entry>,
}

impl<D: Directory> Frame<D> {
    /// Takes the directory that must be entered before the next name.
    pub(super) fn due(&mut self) -> Option<Pending> {
        let last = self.pending.last()?;
        if self
            .pairs
            .peek_name()
            .is_none_or(|next| is_behind(next, &last.name))
        {
            return self.pending.pop();
        }
        None
    }
}

/// Whether `next`, which is greater than `directory`, is also greater than `directory/`.
pub(super) fn is_behind(next: &[u8], directory: &[u8]) -> bool {
    next.strip_prefix(directory)
        .and_then(<[u8]>::first)
        .is_none_or(|byte| *byte >= b'/')
}
