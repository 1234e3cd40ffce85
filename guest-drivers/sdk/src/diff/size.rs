//! The size of a difference.
//!
//! Invariant: an inode counts once, however many names it has.

use crate::Result;
use crate::tree::Directory;
use crate::walk::{Found, Visitor, compare};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Adds sizes up.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Bytes so far.
    pub(super) bytes: u64,
    counted: BTreeSet<(u64, u64)>,
}

impl<D: Directory> Visitor<D> for Sum {
    fn change(&mut self, found: &Found<'_, D>) -> Result<ControlFlow<()>> {
        if let Some(attributes) = found.entry.map(|entry| &entry.attributes) {
            let counts = compare::has_size(attributes.kind);
            let first =
                attributes.links < 2 || self.counted.insert((attributes.device, attributes.inode));
            if counts && first {
                self.bytes = self.bytes.saturating_add(attributes.size);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
