//! How many operations run at once.
//!
//! Invariant: a permit that was given comes back when its holder ends, however it ends.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Lets a number of operations through at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    free: Mutex<u32>,
    freed: Condvar,
}

/// The right to run; given back on drop.
#[derive(Debug)]
#[must_use = "the permit is given back when this goes"]
pub(crate) struct Permit(Arc<Gate>);

impl Gate {
    pub(crate) fn new(permits: u32) -> Arc<Self> {
        Arc::new(Self {
            free: Mutex::new(permits),
            freed: Condvar::new(),
        })
    }

    /// Waits for a permit, but no longer than `patience`.
    pub(crate) fn enter(self: &Arc<Self>, patience: Duration) -> Option<Permit> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .freed
            .wait_timeout_while(free, patience, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_enter_as_there_are_permits() {
        let gate = Gate::new(2);
        let first = gate.enter(Duration::ZERO).unwrap();
        let _second = gate.enter(Duration::ZERO).unwrap();
        assert!(gate.enter(Duration::from_millis(1)).is_none());
        drop(first);
        assert!(gate.enter(Duration::ZERO).is_some());
    }
}
