//! The slots by name.
//!
//! Invariant: a slot that is there stays there; only what runs in it changes.

use super::Slot;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The slots by name.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<BTreeMap<String, Arc<Slot>>>);

impl Registry {
    /// Adds a slot.
    ///
    /// # Errors
    /// [`Error::DriverExists`]: the original's rule for `Register`.
    pub(crate) fn add(&self, slot: Arc<Slot>) -> Result<()> {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
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
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = slots.get(name).cloned();
        found.ok_or_else(|| Error::UnknownDriver {
            driver: name.to_owned(),
            known: slots.keys().cloned().collect(),
        })
    }

    /// All slots by name.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
