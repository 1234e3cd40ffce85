//! A build that runs, and the operations on it.
//!
//! Invariant: who waits for it to be idle is told by the last operation.

use crate::Moment;
use crate::settings::Origin;
use mica_runtime::{CancelToken, Generation};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A component, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) bytes: Cow<'static, [u8]>,
    pub(crate) origin: Origin,
    pub(crate) digest: String,
}

/// A build that runs.
#[derive(Debug)]
pub(crate) struct Active<G = Generation> {
    pub(crate) generation: Arc<G>,
    pub(crate) build: Build,
    /// How often the slot was filled, this time included.
    pub(crate) number: u64,
    pub(crate) loaded: Moment,
    running: Mutex<Running>,
    /// Told when no operation runs any more.
    pub(super) idle: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) next: u64,
    pub(super) tokens: HashMap<u64, CancelToken>,
}

impl<G> Active<G> {
    pub(crate) fn new(generation: Arc<G>, build: Build, number: u64) -> Arc<Self> {
        let (running, idle) = (Mutex::default(), Condvar::new());
        Arc::new(Self {
            generation,
            build,
            number,
            loaded: Moment::now(),
            running,
            idle,
        })
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock()
    }

    /// Operations that run on it.
    pub(crate) fn running_count(&self) -> u64 {
        self.running().tokens.len() as u64
    }

    /// Waits until no operation runs on it; after `patience` the rest are cancelled. Says whether they ended by
    /// themselves.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        let mut running = self.running();
        self.idle
            .wait_while_for(&mut running, |running| !running.tokens.is_empty(), patience);
        // They end by themselves at their next tick; a swap does not wait for that, because their build stays as long as they
        // run.
        running.tokens.values().for_each(CancelToken::cancel);
        running.tokens.is_empty()
    }
}
