//! How many operations run at once.
//!
//! Invariant: a permit that was given comes back when its holder ends, however it ends.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Duration;

/// Lets a number of operations through at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Mutex<Permits>,
    freed: Condvar,
}

#[derive(Debug)]
struct Permits {
    free: u32,
    /// Threads that wait for one: to wake nobody costs a system call.
    waiting: u32,
}

/// The right to run; given back on drop.
#[derive(Debug)]
#[must_use = "the permit is given back when this goes"]
pub(crate) struct Permit(Arc<Gate>);

impl Gate {
    pub(crate) fn new(permits: u32) -> Arc<Self> {
        let (free, waiting) = (permits, 0);
        Arc::new(Self {
            permits: Mutex::new(Permits { free, waiting }),
            freed: Condvar::new(),
        })
    }

    /// Waits for a permit, but no longer than `patience`.
    pub(crate) fn enter(self: &Arc<Self>, patience: Duration) -> Option<Permit> {
        let mut permits = self.permits();
        if permits.free == 0 {
            permits.waiting += 1;
            self.freed
                .wait_while_for(&mut permits, |permits| permits.free == 0, patience);
            permits.waiting -= 1;
        }
        permits.free = permits.free.checked_sub(1)?;
        Some(Permit(Arc::clone(self)))
    }

    fn permits(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut permits = self.0.permits();
        permits.free += 1;
        if permits.waiting > 0 {
            self.0.freed.notify_one();
        }
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
