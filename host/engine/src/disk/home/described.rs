//! What rows say of layers, before the layers are looked at.

use super::{Record, Row};
use crate::LayerId;
use std::collections::HashMap;

/// The layers of a store, as its rows describe them; by number.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// Layers of snapshots, whose rows are the truth, with the numbers of the transactions that wrote these.
    pub(crate) snapshots: HashMap<u64, (Record, u64)>,
    /// Records that were read before, with what tells whether their files are still the same.
    pub(crate) records: HashMap<u64, Row>,
    /// Layers that someone asked to remove.
    pub(crate) removals: HashMap<u64, LayerId>,
    /// The rows may be older than the layers: the record of a snapshot's layer is read in any case.
    pub(crate) is_behind: bool,
}

impl Described {
    /// Whether every snapshot that anyone was told of has its row here. A store that has none may not be one of snapshots.
    pub(super) fn are_complete(&self) -> bool {
        !self.snapshots.is_empty() && !self.is_behind
    }
}
