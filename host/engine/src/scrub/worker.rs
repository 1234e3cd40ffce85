//! The background: layers get their digests once they have settled, and all of them are verified from time to time.
//!
//! | what | when | how fast |
//! |---|---|---|
//! | what someone asks for | at once | as fast as it goes |
//! | a layer that has settled | once it has not for a while | bounded |
//! | a pass over a store | when it is due, layer by layer in the order of their ids | bounded |
//!
//! Invariant: one layer at a time; layers that have settled and got no digests before the daemon ended get them by the next one.

use super::one::{For, Look, Looked};
use super::pass::{Seen, begin_pass, count, end_pass, is_due, skipped_of_pass};
use super::settled::Settled;
use crate::LayerId;
use crate::engine::Engine;
use crate::store::Store;
use crate::view::{ScrubMode, Verdict};
use mica_runtime::CancelToken;
use mica_text::with_causes;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is looked whether a pass is due.
const PERIOD: Duration = Duration::from_secs(60);

/// Takes digests and verifies them.
#[derive(Debug, Default)]
pub(crate) struct Scrubber {
    /// Bytes of layers that were read.
    pub(crate) bytes: AtomicU64,
    /// Layers that were found damaged.
    pub(crate) damaged: AtomicU64,
    /// Layers that were made again.
    pub(crate) repaired: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    is_stopped: AtomicBool,
    /// Ends a repair with the work.
    ending: CancelToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    settled: Settled,
    is_asked: bool,
}

/// What the worker does next.
enum Step {
    /// Whatever was asked for.
    Asked,
    Take(String, LayerId),
    /// The next layer of each store whose pass is due.
    Passes,
    Wait(Duration),
}

impl Scrubber {
    /// Begins to work.
    ///
    /// # Errors
    /// The kernel's, when there is no thread.
    pub(crate) fn start(self: &Arc<Self>, engine: Weak<Engine>) -> io::Result<()> {
        let own = Arc::clone(self);
        let run = move || own.run(&engine);
        let thread = thread::Builder::new()
            .name("mica-scrub".to_owned())
            .spawn(run)?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Ends the work after the piece of a file that it is at, and waits for it.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.ending.cancel();
        self.wake();
        let thread = self.thread.lock().take();
        // The last owner of an engine may be this thread.
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            // One that panicked has said so itself.
            let _ended = thread.join();
        }
    }

    /// A layer is as it will be for a while: it gets digests once it is quiet.
    pub(crate) fn settled(&self, store: &str, layer: &LayerId) {
        let mut state = self.state.lock();
        state.settled.add(store, layer, Instant::now());
    }

    /// Somebody has asked for something.
    pub(super) fn ask(&self) {
        self.state.lock().is_asked = true;
        self.wake();
    }

    /// Layers that wait for their digests.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().settled.len()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn wake(&self) {
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    fn run(&self, engine: &Weak<Engine>) {
        // Passes are looked for when it is quiet, and then again and again as long as there is one.
        let mut looked = Instant::now();
        while !self.is_stopped() {
            let step = self.next(looked);
            let Some(engine) = engine.upgrade() else {
                return;
            };
            match step {
                Step::Asked => self.answer(&engine),
                Step::Take(store, layer) => self.take(&engine, &store, &layer),
                Step::Passes => {
                    if !self.pass(&engine) {
                        looked = Instant::now();
                    }
                }
                Step::Wait(time) => {
                    // Not kept over a wait: the daemon may end meanwhile.
                    drop(engine);
                    let mut state = self.state.lock();
                    if !state.is_asked && !self.is_stopped() {
                        self.changed.wait_for(&mut state, time);
                    }
                }
            }
        }
    }

    fn next(&self, looked: Instant) -> Step {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.is_asked) {
            return Step::Asked;
        }
        let waits = match state.settled.take(Instant::now()) {
            Ok((store, layer)) => return Step::Take(store, layer),
            Err(left) => left.unwrap_or(PERIOD),
        };
        match PERIOD.saturating_sub(looked.elapsed()) {
            Duration::ZERO => Step::Passes,
            left => Step::Wait(left.min(waits)),
        }
    }

    fn look<'a>(
        &'a self,
        engine: &'a Engine,
        store: &'a Store,
        stop: &'a dyn Fn() -> bool,
    ) -> Look<'a> {
        Look {
            engine,
            store,
            whom: For::Background,
            stop,
            bytes_per_second: None,
        }
    }

    /// Looks at one layer; what cannot be done now, the next pass does.
    fn at(&self, look: &Look<'_>, layer: &LayerId) -> Seen {
        look.store.scrub.now().layer = Some(layer.clone());
        let looked = look.at(layer);
        look.store.scrub.now().layer = None;
        match looked {
            Ok(Looked::Done(view)) => {
                if view.verdict == Verdict::Damaged && look.engine.settings.scrub.repair {
                    self.mend(look.engine, look.store, layer);
                }
                Seen::Done(view)
            }
            Ok(Looked::Without) | Err(crate::Error::UnknownLayer { .. }) => Seen::Nothing,
            Ok(Looked::Later) => {
                self.settled(look.store.name.as_str(), layer);
                Seen::Skipped
            }
            Ok(Looked::Stopped) => Seen::Skipped,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(store = %look.store.name, %layer, error, "a layer is not verified now");
                Seen::Skipped
            }
        }
    }

    fn take(&self, engine: &Engine, store: &str, layer: &LayerId) {
        let Ok(open) = engine.stores().find(store) else {
            return;
        };
        let mode = engine.settings.scrub.mode_of(store);
        if mode == ScrubMode::Off || open.scrub.is_paused() {
            return;
        }
        let stop = || self.is_stopped() || open.scrub.is_paused();
        let look = self.look(engine, &open, &stop);
        let bytes_per_second = engine.settings.scrub.bytes_per_second;
        self.at(
            &Look {
                bytes_per_second,
                ..look
            },
            layer,
        );
    }

    /// Makes a damaged layer again, if its archive is still to be had and nobody uses the layer. Otherwise the next pass tries it.
    fn mend(&self, engine: &Engine, store: &Store, layer: &LayerId) {
        let repaired = engine
            .store(store.name.as_str())
            .and_then(|open| open.repair_from_stores(layer.as_str(), self.ending.clone()));
        match repaired {
            Ok(view) => {
                tracing::info!(store = %store.name, %layer, source = view.source, "a damaged layer was made again");
            }
            Err(error) => {
                tracing::warn!(store = %store.name, %layer, error = with_causes(&error), "a damaged layer stays as it is");
            }
        }
    }

    /// Does what was asked for in all stores.
    fn answer(&self, engine: &Engine) {
        for name in engine.stores().names() {
            // One at a time: a store that is only waited for could not be renamed until the others are read.
            let Ok(store) = engine.stores().find(name.as_str()) else {
                continue;
            };
            let (asked, count) = {
                let mut now = store.scrub.now();
                (std::mem::take(&mut now.asked), now.asked_count)
            };
            let stop = || self.is_stopped() || store.scrub.is_paused();
            let look = self.look(engine, &store, &stop);
            let skipped = match asked.contains(&None) {
                true => {
                    begin_pass(&store);
                    while !stop() && self.go_on(&look) {}
                    skipped_of_pass(&store)
                }
                false => {
                    let seen = asked.iter().flatten().map(|layer| self.at(&look, layer));
                    seen.filter(|seen| matches!(seen, Seen::Skipped)).count() as u64
                }
            };
            let mut now = store.scrub.now();
            if now.answered_count < count {
                now.skipped_count = skipped;
            }
            now.answered_count = count;
        }
    }

    /// Verifies the next layer of each store whose pass is due. Says whether there was one.
    fn pass(&self, engine: &Engine) -> bool {
        let mut is_any = false;
        for name in engine.stores().names() {
            let Ok(store) = engine.stores().find(name.as_str()) else {
                continue;
            };
            if self.is_stopped() || self.state.lock().is_asked {
                return true;
            }
            if engine.settings.scrub.mode_of(store.name.as_str()) != ScrubMode::Off {
                self.begin_store(&store);
            }
            if !is_due(engine, &store) {
                continue;
            }
            if store.scrub.kept().pass.is_none() {
                begin_pass(&store);
            }
            let stop = || self.is_stopped() || store.scrub.is_paused();
            let look = self.look(engine, &store, &stop);
            let bytes_per_second = engine.settings.scrub.bytes_per_second;
            is_any |= self.go_on(&Look {
                bytes_per_second,
                ..look
            });
        }
        is_any
    }

    /// Does what a store needs once in the life of a daemon: writes down since when layers are new, and goes on with those that are
    /// and that the daemon before did not come to.
    pub(crate) fn begin_store(&self, store: &Store) {
        if std::mem::replace(&mut store.scrub.now().is_begun, true) {
            return;
        }
        if let Err(error) = store.scrub.make() {
            tracing::debug!(store = %store.name, %error, "since when layers are new is not written down");
        }
        let since = store.scrub.kept().since;
        let new: Vec<(u64, LayerId)> = {
            let table = store.layers.table();
            let page = table.page(None, usize::MAX);
            let new = page.filter(|entry| entry.record.created >= since);
            new.map(|entry| (entry.number, entry.id().clone()))
                .collect()
        };
        let layout = store.layers.home().layout();
        for (number, layer) in new {
            // Of one that cannot be looked at a pass tells.
            if layout.has_digests(number).is_ok_and(|has| !has) {
                self.settled(store.name.as_str(), &layer);
            }
        }
    }

    /// Verifies the next layer of a pass, or ends it. Says whether there was one.
    fn go_on(&self, look: &Look<'_>) -> bool {
        let store = look.store;
        let after = store.scrub.kept().after.clone();
        let next = {
            let table = store.layers.table();
            let mut page = table.page(after.as_ref().map(LayerId::as_str), 1);
            page.next().map(|entry| entry.id().clone())
        };
        let Some(layer) = next else {
            end_pass(store);
            return false;
        };
        let seen = self.at(look, &layer);
        if self.is_stopped() || store.scrub.is_paused() {
            // It was not done.
            return false;
        }
        store.scrub.change(|kept| {
            kept.after = Some(layer);
            if let Some(pass) = &mut kept.pass {
                count(pass, &seen);
            }
        });
        true
    }
}
