//! The background: layers get their digests once they have settled, and all of them are verified from time to time.
//!
//! | what | when | how fast |
//! |---|---|---|
//! | what someone asks for | at once | as fast as it goes |
//! | layers that have settled | once none has for a while | bounded |
//! | a pass over a store | when it is due, layer by layer in the order of their ids | bounded |
//!
//! Invariant: one layer at a time; what is not done when the daemon ends, the next one does.

use super::one::{For, Look, Looked};
use crate::engine::Engine;
use crate::store::Store;
use crate::view::{PassView, ScrubMode, Verdict, VerifyView};
use crate::{LayerId, Moment};
use mica_text::with_causes;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long no layer has settled before digests are taken: a build or a pull that makes many is not to be slowed down.
const QUIET: Duration = Duration::from_secs(30);
/// How often it is looked whether a pass is due.
const PERIOD: Duration = Duration::from_secs(60);
/// Layers that wait for their digests; a pass takes those of others.
const MOST_WAITING: usize = 10_000;

/// Takes digests and verifies them.
#[derive(Debug, Default)]
pub(crate) struct Scrubber {
    /// Bytes of layers that were read.
    pub(crate) bytes: AtomicU64,
    /// Layers that were found damaged.
    pub(crate) damaged: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    is_stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// Stores and layers that have settled, in their order.
    settled: VecDeque<(String, LayerId)>,
    last_settled: Option<Instant>,
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
        // A start is busy enough: what was left waits until it is quiet.
        self.state.lock().last_settled = Some(Instant::now());
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
        state.last_settled = Some(Instant::now());
        if state.settled.len() < MOST_WAITING {
            state.settled.push_back((store.to_owned(), layer.clone()));
        }
    }

    /// Somebody has asked for something.
    pub(super) fn ask(&self) {
        self.state.lock().is_asked = true;
        self.wake();
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
        let loud = state
            .last_settled
            .map_or(Duration::ZERO, |last| QUIET.saturating_sub(last.elapsed()));
        if !loud.is_zero() {
            return Step::Wait(loud);
        }
        if let Some((store, layer)) = state.settled.pop_front() {
            return Step::Take(store, layer);
        }
        match PERIOD.saturating_sub(looked.elapsed()) {
            Duration::ZERO => Step::Passes,
            left => Step::Wait(left),
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
    fn at(&self, look: &Look<'_>, layer: &LayerId) -> Option<VerifyView> {
        look.store.scrub.now().layer = Some(layer.clone());
        let looked = look.at(layer);
        look.store.scrub.now().layer = None;
        match looked {
            Ok(Looked::Done(view)) => Some(view),
            Ok(Looked::Without | Looked::Later | Looked::Stopped)
            | Err(crate::Error::UnknownLayer { .. }) => None,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(store = %look.store.name, %layer, error, "a layer is not verified now");
                None
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

    /// Does what was asked for in all stores.
    fn answer(&self, engine: &Engine) {
        for store in engine.stores().all() {
            let (asked, count) = {
                let mut now = store.scrub.now();
                (std::mem::take(&mut now.asked), now.asked_count)
            };
            let stop = || self.is_stopped();
            let look = self.look(engine, &store, &stop);
            match asked.contains(&None) {
                true => {
                    begin_pass(&store);
                    while !self.is_stopped() && self.go_on(&look) {}
                }
                false => {
                    for layer in asked.iter().flatten() {
                        self.at(&look, layer);
                    }
                }
            }
            store.scrub.now().answered_count = count;
        }
    }

    /// Verifies the next layer of each store whose pass is due. Says whether there was one.
    fn pass(&self, engine: &Engine) -> bool {
        let mut is_any = false;
        for store in engine.stores().all() {
            if self.is_stopped() || self.state.lock().is_asked {
                return true;
            }
            if engine.settings.scrub.mode_of(store.name.as_str()) != ScrubMode::Off
                && let Err(error) = store.scrub.make()
            {
                tracing::debug!(store = %store.name, %error, "since when layers are new is not written down");
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
        let looked = self.at(look, &layer);
        if self.is_stopped() || store.scrub.is_paused() {
            // It was not done.
            return false;
        }
        store.scrub.change(|kept| {
            kept.after = Some(layer);
            if let (Some(pass), Some(view)) = (&mut kept.pass, looked) {
                pass.bytes += view.bytes;
                match view.verdict {
                    Verdict::Whole => pass.layers += 1,
                    Verdict::Damaged => {
                        pass.layers += 1;
                        pass.damaged += 1;
                    }
                    Verdict::Taken => pass.taken += 1,
                    Verdict::Unsettled => {}
                }
            }
        });
        true
    }
}

fn begin_pass(store: &Store) {
    store.scrub.change(|kept| {
        kept.after = None;
        kept.pass = Some(PassView {
            began: Moment::now(),
            ended: None,
            layers: 0,
            bytes: 0,
            taken: 0,
            damaged: 0,
        });
    });
}

fn end_pass(store: &Store) {
    forget_gone(store);
    store.scrub.change(|kept| {
        kept.after = None;
        kept.last = kept.pass.take().map(|pass| PassView {
            ended: Some(Moment::now()),
            ..pass
        });
    });
    tracing::info!(store = %store.name, "all layers were verified");
}

/// Forgets damage of layers that are not there any more.
pub(super) fn forget_gone(store: &Store) {
    let numbers = store.layers.numbers();
    store
        .scrub
        .forget_gone(&|damage| numbers.contains(&damage.number));
}

/// Whether a pass over a store is under way, or is to begin.
fn is_due(engine: &Engine, store: &Store) -> bool {
    let settings = &engine.settings.scrub;
    let mode = settings.mode_of(store.name.as_str());
    let kept = store.scrub.kept();
    if mode == ScrubMode::Off || kept.paused || store.layers.table().len() == 0 {
        return false;
    }
    if kept.pass.is_some() {
        return true;
    }
    let Some(every) = settings.every else {
        return false;
    };
    let last = kept.last.map(|pass| pass.ended.unwrap_or(pass.began));
    match (last, mode) {
        // Layers that were there before get their digests by the first pass.
        (None, ScrubMode::All) => true,
        (last, _) => {
            let since = last.unwrap_or(kept.since).seconds;
            Moment::now().seconds.saturating_sub(since) >= every.as_secs()
        }
    }
}
