//! One directory on the way to where the archive is.
//!
//! Invariant: it is known by its name and by the hash of its whole path.

use super::seen::PathHash;
use crate::AttributeChanges;

pub(super) struct Level {
    pub(super) name: Vec<u8>,
    pub(super) hash: PathHash,
    /// Whether the archive is known to have brought something in it.
    pub(super) brought: bool,
    /// The link that waits which this lies behind.
    pub(super) behind: Option<PathHash>,
    pub(super) at_close: Option<AttributeChanges>,
    /// Whether it was made here, and so keeps what is set.
    pub(super) is_new: bool,
}

impl Level {
    pub(super) fn new(name: &[u8], hash: PathHash, behind: Option<PathHash>, is_new: bool) -> Self {
        Self {
            name: name.to_vec(),
            hash,
            brought: false,
            behind,
            at_close: None,
            is_new,
        }
    }
}
