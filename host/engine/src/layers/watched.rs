//! Layers that someone reads without their lock, for a long time, and whether they were changed meanwhile.
//!
//! Invariant: a change is told before it is made, so what was read of a layer that is still unchanged afterwards is true of it.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The layers of a store that are read so, by number.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<Vec<(u64, Arc<AtomicBool>)>>);

/// Learns of a change of one layer, for as long as it lives. Whoever begins holds the layer's lock.
#[derive(Debug)]
pub(crate) struct Watch {
    watched: Arc<Watched>,
    has_changed: Arc<AtomicBool>,
}

impl Watched {
    pub(crate) fn watch(self: &Arc<Self>, number: u64) -> Watch {
        let has_changed = Arc::<AtomicBool>::default();
        self.0.lock().push((number, Arc::clone(&has_changed)));
        Watch {
            watched: Arc::clone(self),
            has_changed,
        }
    }

    /// Tells that a layer is about to be changed or removed.
    pub(crate) fn tell(&self, number: u64) {
        for (watched, has_changed) in &*self.0.lock() {
            if *watched == number {
                has_changed.store(true, Ordering::Release);
            }
        }
    }
}

impl Watch {
    /// Whether the layer was changed, or is about to be.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Acquire)
    }

    /// Does something short, unless the layer was changed; whoever wants to change it waits for that.
    pub(crate) fn unless_changed<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _told = self.watched.0.lock();
        (!self.has_changed()).then(work)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let is_other = |(_, flag): &(u64, Arc<AtomicBool>)| !Arc::ptr_eq(flag, &self.has_changed);
        self.watched.0.lock().retain(is_other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_learns_of_its_own_layer_only() {
        let watched = Arc::<Watched>::default();
        let (one, other) = (watched.watch(1), watched.watch(2));
        watched.tell(1);
        assert!(one.has_changed() && !other.has_changed());
        assert_eq!(one.unless_changed(|| ()), None);
        assert_eq!(other.unless_changed(|| 7), Some(7));
        drop((one, other));
        assert!(watched.0.lock().is_empty());
    }
}
