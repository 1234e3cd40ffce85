//! Layers whose snapshots are gone, until they are gone as well.
//!
//! Removing a snapshot removes its row and no more, for its runtime holds a lock of its own meanwhile. The layer goes on
//! a thread of the store's, which asks the driver as any removal does; what a driver refuses is tried again at the next
//! cleanup and at the next start.
//!
//! Invariant: one layer at a time, in the order in which the snapshots went: a child before what it is built on.

use crate::{Engine, LayerId};
use mica_runtime::CancelToken;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing more was to be removed before the thread begins: whoever removes one removes more, and is to be let do
/// that first.
const REST: Duration = Duration::from_millis(20);
/// After which time the thread begins in any case, and with how many layers.
const LONGEST_REST: Duration = Duration::from_secs(1);
const BACKLOG: usize = 1000;

#[derive(Debug, Default)]
struct Work {
    /// To be removed.
    waiting: VecDeque<LayerId>,
    /// Could not be removed; tried again at a cleanup.
    refused: VecDeque<LayerId>,
    has_ended: bool,
}

/// Removes layers of a store.
#[derive(Debug, Default)]
pub(crate) struct Remover {
    work: Mutex<Work>,
    changed: Condvar,
    /// Held by the one who removes.
    turn: Mutex<()>,
    cancel: CancelToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Remover {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a layer that no snapshot has any more.
    pub(crate) fn take(&self, layer: LayerId) {
        let mut work = self.work();
        work.waiting.push_back(layer);
        if work.waiting.len() == 1 {
            self.changed.notify_all();
        }
    }

    /// Begins to work; once.
    pub(crate) fn start(
        self: &Arc<Self>,
        engine: Weak<Engine>,
        store: &str,
    ) -> std::io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (remover, store) = (Arc::clone(self), store.to_owned());
            let builder = std::thread::Builder::new().name("mica-remover".into());
            *thread = Some(builder.spawn(move || remover.run(&engine, &store))?);
        }
        Ok(())
    }

    fn run(&self, engine: &Weak<Engine>, store: &str) {
        while self.wait() {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            self.remove_all(&engine, store);
        }
    }

    /// Waits for work; says whether there is any.
    fn wait(&self) -> bool {
        let mut work = self.work();
        while work.waiting.is_empty() && !work.has_ended {
            work = self
                .changed
                .wait(work)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let began = Instant::now();
        loop {
            let before = work.waiting.len();
            let rested = self
                .changed
                .wait_timeout_while(work, REST, |work| !work.has_ended);
            (work, _) = rested.unwrap_or_else(PoisonError::into_inner);
            let waiting = work.waiting.len();
            let is_quiet = waiting == before;
            let is_enough = waiting >= BACKLOG || began.elapsed() >= LONGEST_REST;
            if work.has_ended || is_quiet || is_enough {
                break;
            }
        }
        !work.has_ended
    }

    /// Removes everything that waits, on the caller's thread or after whoever does it already.
    fn remove_all(&self, engine: &Engine, store: &str) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(layer) = self.next() else { return };
            if let Err(error) = engine.remove_snapshot_layer(store, &layer, &self.cancel) {
                tracing::warn!(store, %layer, %error, "a layer without a snapshot stays until the next cleanup");
                self.work().refused.push_back(layer);
            }
        }
    }

    fn next(&self) -> Option<LayerId> {
        let mut work = self.work();
        if work.has_ended {
            return None;
        }
        work.waiting.pop_front()
    }

    /// Removes everything, also what could not be removed before.
    pub(crate) fn clean_up(&self, engine: &Engine, store: &str) {
        {
            let mut work = self.work();
            let refused = std::mem::take(&mut work.refused);
            work.waiting.extend(refused);
        }
        self.remove_all(engine, store);
    }

    /// Layers that are still there without a snapshot.
    pub(crate) fn backlog(&self) -> usize {
        let work = self.work();
        work.waiting.len() + work.refused.len()
    }

    /// Tells the thread to end.
    pub(crate) fn end(&self) {
        self.work().has_ended = true;
        self.cancel.cancel();
        self.changed.notify_all();
    }

    /// Tells the thread to end and waits for it; what waits is removed after the next start.
    pub(crate) fn stop(&self) {
        self.end();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A thread that panicked has said so itself.
            let _ended = thread.join();
        }
    }
}
