//! The mounts of a store in memory.
//!
//! Invariant: an entry is here exactly while its mount is attached; whoever changes one holds the layer's mount lock.

use super::State;
use crate::LayerId;
use mica_runtime::Access;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;

/// The mounts of a store.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Mutex<HashMap<LayerId, State>>);

impl Mounts {
    /// Takes mounts that were adopted.
    pub(crate) fn new(adopted: Vec<State>) -> Self {
        Self(Mutex::new(
            adopted
                .into_iter()
                .map(|state| (state.layer.clone(), state))
                .collect(),
        ))
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<LayerId, State>> {
        self.0.lock()
    }

    /// How a layer is mounted.
    pub(crate) fn get(&self, id: &LayerId) -> Option<State> {
        self.entries().get(id).cloned()
    }

    /// How often a layer is mounted.
    pub(crate) fn references(&self, id: &LayerId) -> u64 {
        self.entries().get(id).map_or(0, |state| state.references)
    }

    /// Says whether processes may change a layer right now.
    pub(crate) fn is_writable(&self, id: &LayerId) -> bool {
        self.entries()
            .get(id)
            .is_some_and(|state| state.access == Access::ReadWrite)
    }

    /// The mounted layers, in order.
    pub(crate) fn layers(&self) -> Vec<LayerId> {
        let mut layers: Vec<_> = self.entries().keys().cloned().collect();
        layers.sort();
        layers
    }

    /// Number of mounted layers.
    pub(crate) fn len(&self) -> u64 {
        self.entries().len() as u64
    }

    /// References to all of them.
    pub(crate) fn all_references(&self) -> u64 {
        self.0.lock().values().map(|state| state.references).sum()
    }

    pub(crate) fn put(&self, state: State) {
        self.entries().insert(state.layer.clone(), state);
    }

    pub(crate) fn remove(&self, id: &LayerId) {
        self.entries().remove(id);
    }
}
