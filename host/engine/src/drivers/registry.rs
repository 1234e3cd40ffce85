//! The slots by name.
//!
//! Invariant: a slot that is there stays there while a store has its driver; what runs in it changes.

use super::Slot;
use crate::{Error, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The slots by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: RwLock<BTreeMap<String, Arc<Slot>>>,
    /// Held while a component of a new name is taken: of two with one name the second finds the first.
    pub(super) loading: Mutex<()>,
    /// Components that were refused for what they were not granted.
    pub(crate) refused_loads: AtomicU64,
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

    /// Refuses a slot that was taken away. Whoever holds its lock for changes knows then that it stays.
    ///
    /// # Errors
    /// [`Error::UnknownDriver`]; [`Error::Busy`] when another one has its name now.
    pub(super) fn check_there(&self, slot: &Slot) -> Result<()> {
        let found = self.get(&slot.name)?;
        match std::ptr::eq(&*found, slot) {
            true => Ok(()),
            false => Err(Error::Busy(format!(
                "driver `{}` was removed and loaded anew meanwhile; try again",
                slot.name
            ))),
        }
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

#[cfg(test)]
mod tests {
    use super::super::slot::Gates;
    use super::*;
    use mica_runtime::Limits;

    fn slot() -> Arc<Slot> {
        let limits = Limits::default();
        let gates = Gates::new(&limits);
        Arc::new(Slot::new("test", &limits, &gates))
    }

    #[test]
    fn a_slot_that_was_taken_away_is_known_from_one_of_the_same_name() {
        let registry = Registry::default();
        let (first, second) = (slot(), slot());
        registry.add(Arc::clone(&first)).unwrap();
        registry.check_there(&first).unwrap();
        registry.remove("test");
        let gone = registry.check_there(&first);
        assert!(matches!(gone, Err(Error::UnknownDriver { .. })), "{gone:?}");
        registry.add(Arc::clone(&second)).unwrap();
        assert!(matches!(registry.check_there(&first), Err(Error::Busy(_))));
        registry.check_there(&second).unwrap();
    }
}
