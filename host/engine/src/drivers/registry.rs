//! The slots by name.
//!
//! Invariant: a slot that is there stays there while a store has its driver; what runs in it changes.

use super::Slot;
use crate::{Error, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The slots by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: RwLock<BTreeMap<String, Arc<Slot>>>,
    /// Held while a component of a new name is taken: of two with one name the second finds the first.
    pub(super) loading: Mutex<()>,
    /// Held to read while a store gets its driver: none goes meanwhile.
    pub(crate) choosing: RwLock<()>,
}

impl Registry {
    /// Adds a slot.
    ///
    /// # Errors
    /// [`Error::DriverExists`]: the original's rule for `Register`.
    pub(crate) fn add(&self, slot: Arc<Slot>) -> Result<()> {
        let mut slots = self.slots.write();
        if slots.contains_key(&slot.name) {
            return Err(Error::DriverExists(slot.name.clone()));
        }
        slots.insert(slot.name.clone(), slot);
        Ok(())
    }

    /// Finds a slot.
    ///
    /// # Errors
    /// [`Error::UnknownDriver`].
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Slot>> {
        let slots = self.slots.read();
        let found = slots.get(name).cloned();
        found.ok_or_else(|| Error::UnknownDriver {
            driver: name.to_owned(),
            known: slots.keys().cloned().collect(),
        })
    }

    /// Takes a slot away.
    pub(super) fn remove(&self, name: &str) {
        self.slots.write().remove(name);
    }

    /// All slots by name.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.read().values().cloned().collect()
    }
}
