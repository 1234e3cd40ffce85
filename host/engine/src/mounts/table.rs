//! The mounts of a store in memory.
//!
//! Invariant: an entry is here exactly while its mount is attached; whoever changes one holds the layer's mount lock.

use super::State;
use crate::LayerId;
use mica_runtime::Access;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};

/// The mounts of a store.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    known: Mutex<HashMap<LayerId, State>>,
    /// Numbers of layers that an earlier daemon had mounted, nobody knows how, and that no start could unmount.
    stuck: HashSet<u64>,
}

impl Mounts {
    /// Takes mounts that were adopted, and the numbers of those that are stuck.
    pub(crate) fn new(adopted: Vec<State>, stuck: Vec<u64>) -> Self {
        let adopted = adopted.into_iter();
        let known = adopted.map(|state| (state.layer.clone(), state));
        Self {
            known: Mutex::new(known.collect()),
            stuck: stuck.into_iter().collect(),
        }
    }

    /// Whether processes may be using the layer of a number through a mount that nobody knows; they may change it as well.
    pub(crate) fn is_stuck(&self, number: u64) -> bool {
        self.stuck.contains(&number)
    }

    /// The number of a layer that may be used through a mount that nobody knows.
    pub(crate) fn first_stuck(&self) -> Option<u64> {
        self.stuck.iter().min().copied()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<LayerId, State>> {
        self.known.lock()
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
        self.entries().values().map(|state| state.references).sum()
    }

    pub(crate) fn put(&self, state: State) {
        self.entries().insert(state.layer.clone(), state);
    }

    pub(crate) fn remove(&self, id: &LayerId) {
        self.entries().remove(id);
    }
}
