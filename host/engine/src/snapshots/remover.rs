//! Layers whose snapshots are gone, until they are gone as well.
//!
//! Removing a snapshot removes its row and no more, for its runtime holds a lock of its own meanwhile. The layer goes on
//! a thread of the store's, which asks the driver as any removal does; what a driver refuses is tried again at the next
//! cleanup and at the next start.
//!
//! Invariant: one layer at a time, in the order in which the snapshots went: a child before what it is built on.

use crate::worker::{Outcome, Pace, Worker};
use crate::{Engine, LayerId};
use mica_runtime::CancelToken;
use std::sync::Weak;
use std::time::Duration;

/// Whoever removes one snapshot removes more, and is to be let do that first.
const PACE: Pace = Pace {
    quiet: Duration::from_millis(20),
    longest: Duration::from_secs(1),
    backlog: 1000,
};

/// Removes layers of a store.
#[derive(Debug, Default)]
pub(crate) struct Remover {
    worker: Worker<LayerId>,
    cancel: CancelToken,
}

impl Remover {
    /// Takes a layer that no snapshot has any more.
    pub(crate) fn take(&self, layer: LayerId) {
        self.worker.push(layer);
    }

    /// Begins to work; once.
    pub(crate) fn start(&self, engine: Weak<Engine>, store: &str) -> std::io::Result<()> {
        let (store, cancel) = (store.to_owned(), self.cancel.clone());
        self.worker.start("mica-remover", PACE, move |layer| {
            // Without an engine, the next start finds the layer.
            let Some(engine) = engine.upgrade() else {
                return Outcome::Done;
            };
            let snapshots = engine.snapshots(&store);
            match snapshots.and_then(|snapshots| snapshots.remove_unowned(&layer, &cancel)) {
                Ok(()) => Outcome::Done,
                Err(error) => {
                    tracing::warn!(store, %layer, %error, "a layer without a snapshot stays until the next cleanup");
                    Outcome::Again(layer, None)
                }
            }
        })
    }

    /// Removes all that was taken so far, also what could not be removed before, and says how many layers were refused.
    pub(crate) fn clean_up(&self) -> usize {
        self.worker.settle();
        self.worker.refused()
    }

    /// Ends the work and waits for the thread; what waits is removed after the next start.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
        self.worker.stop();
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
