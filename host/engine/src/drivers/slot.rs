//! A driver's name with the build that runs under it.
//!
//! Invariant: the answer of an operation is that of one build; which one, is decided here when it begins.

use super::active::Active;
use super::gate::{Gate, Permit};
use super::history::History;
use super::lent::Lent;
use super::quarantine::{Quarantine, Subject};
use super::question::Asked;
use super::ticket::{Role, Ticket};
use super::trial::{Choice, Trial};
use crate::insight::Insight;
use crate::settings::Origin;
use crate::traffic::Tally;
use crate::view::QuarantineView;
use crate::{Error, Result};
use arc_swap::ArcSwapOption;
use mica_runtime::{Generation, Limits};
use parking_lot::Mutex;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long an operation waits until others end; then the caller should know.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How much runs at once, whatever the driver.
#[derive(Clone, Debug)]
pub(crate) struct Gates {
    operations: Arc<Gate>,
    streams: Arc<Gate>,
}

impl Gates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            operations: Gate::new(limits.operations),
            streams: Gate::new(limits.streams),
        }
    }
}

/// Whether an operation moves a client's bytes, and so may wait for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It needs nothing of the client's once it was begun.
    None,
    /// It reads or writes a stream of the client's.
    Stream,
}

/// Where a slot's first build comes from.
pub(crate) trait Source<G = Generation>: Debug + Send {
    /// Compiles it, or says why it cannot be had. It may be asked again.
    fn load(&mut self) -> Result<Arc<Active<G>>>;
}

/// The build that runs, and its bake while it bakes: one pointer, so that no call sees one without the other.
#[derive(Debug)]
struct Current<G> {
    active: Arc<Active<G>>,
    trial: Option<Arc<Trial<G>>>,
}

impl<G> Current<G> {
    fn new(active: Arc<Active<G>>, trial: Option<Arc<Trial<G>>>) -> Arc<Self> {
        Arc::new(Self { active, trial })
    }
}

/// A driver's name with the build that runs under it.
#[derive(Debug)]
pub(crate) struct Slot<G = Generation> {
    pub(crate) name: String,
    /// None until someone needs the driver, if it has to be compiled first.
    current: ArcSwapOption<Current<G>>,
    /// The lock is held while it loads.
    source: Mutex<Option<Box<dyn Source<G>>>>,
    /// Where the build comes from that is there without any swap, if there is one.
    pub(super) shipped: Option<Origin>,
    /// Held from the beginning of a swap to its end.
    pub(super) changing: Mutex<()>,
    pub(super) history: Mutex<History>,
    /// Who compares calls with a build that is to take the place.
    shadow: Mutex<Option<SyncSender<Asked>>>,
    /// Builds that were replaced and may still have operations.
    replaced: Mutex<Vec<Weak<Active<G>>>>,
    builds: AtomicU64,
    pub(crate) quarantine: Quarantine,
    own_gate: Arc<Gate>,
    own_streams: Arc<Gate>,
    gates: Gates,
    operations: AtomicU64,
    faults: AtomicU64,
    /// What operations came to.
    pub(crate) tally: Tally,
    /// What it says and does.
    pub(crate) insight: Arc<Insight>,
}

impl<G> Slot<G> {
    /// A slot without a build. `gates` bounds the operations of all drivers.
    pub(crate) fn new(name: &str, limits: &Limits, gates: &Gates) -> Self {
        Self {
            name: name.to_owned(),
            current: ArcSwapOption::empty(),
            source: Mutex::default(),
            shipped: None,
            changing: Mutex::default(),
            history: Mutex::default(),
            shadow: Mutex::default(),
            replaced: Mutex::default(),
            builds: AtomicU64::new(1),
            quarantine: Quarantine::new(limits),
            own_gate: Gate::new(limits.driver_operations),
            own_streams: Gate::new(limits.driver_streams),
            gates: gates.clone(),
            operations: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            tally: Tally::default(),
            insight: Insight::new(limits),
        }
    }

    /// The same slot with its first build.
    pub(crate) fn filled(self, active: Arc<Active<G>>) -> Self {
        self.tally.add(active.number, &active.counts);
        self.current.store(Some(Current::new(active, None)));
        self
    }

    /// The same slot, whose first build is made when someone needs it.
    pub(crate) fn fed_by(self, source: Box<dyn Source<G>>) -> Self {
        *self.source.lock() = Some(source);
        self
    }

    /// The same slot, with what is known of its builds.
    pub(super) fn known(self, shipped: Option<Origin>, history: History) -> Self {
        *self.history.lock() = history;
        Self { shipped, ..self }
    }

    /// The build that runs. The first who needs it waits until it is compiled, and so do those who come meanwhile.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) fn active(&self) -> Result<Arc<Active<G>>> {
        self.current().map(|current| Arc::clone(&current.active))
    }

    fn current(&self) -> Result<Arc<Current<G>>> {
        if let Some(current) = self.current.load_full() {
            return Ok(current);
        }
        let mut source = self.source.lock();
        // Asked again under the lock: whoever waited for it finds what the first one compiled.
        if let Some(current) = self.current.load_full() {
            return Ok(current);
        }
        let Some(waiting) = source.as_mut() else {
            return Err(Error::UnknownDriver {
                driver: self.name.clone(),
                known: Vec::new(),
            });
        };
        // An error leaves the source in its place, so the next caller tries again.
        let current = Current::new(waiting.load()?, None);
        self.tally
            .add(current.active.number, &current.active.counts);
        self.current.store(Some(Arc::clone(&current)));
        *source = None;
        Ok(current)
    }

    /// The build that runs, if there is one yet.
    pub(crate) fn loaded(&self) -> Option<Arc<Active<G>>> {
        let current = self.current.load();
        current.as_ref().map(|current| Arc::clone(&current.active))
    }

    /// The number of the next build that is put into the slot.
    pub(super) fn next_number(&self) -> u64 {
        self.builds.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts another build in its place, with a bake or without; operations that run stay on theirs.
    pub(crate) fn replace(&self, active: Arc<Active<G>>, trial: Option<Arc<Trial<G>>>) {
        // Nothing that is being compiled may take the place afterwards.
        let mut source = self.source.lock();
        *source = None;
        self.tally.add(active.number, &active.counts);
        let old = self.current.swap(Some(Current::new(active, trial)));
        let old = old.map(|old| Arc::downgrade(&old.active));
        let mut replaced = self.replaced.lock();
        // One that took the place again meanwhile stands there once.
        let is_again = |build: &Weak<_>| old.as_ref().is_some_and(|old| old.ptr_eq(build));
        replaced.retain(|build| build.strong_count() > 0 && !is_again(build));
        replaced.extend(old);
        drop(replaced);
        self.quarantine.lift();
    }

    /// The bake of the build that runs, while it bakes.
    pub(super) fn trial(&self) -> Option<Arc<Trial<G>>> {
        self.current.load().as_ref()?.trial.clone()
    }

    /// Whether the build that runs bakes.
    pub(crate) fn is_baking(&self) -> bool {
        self.trial().is_some()
    }

    /// Ends the bake: the build is as good as any other from now on.
    pub(super) fn end_trial(&self) {
        if let Some(active) = self.loaded() {
            self.current.store(Some(Current::new(active, None)));
        }
    }

    /// Begins to hand calls to someone who compares them, until the guard goes.
    pub(super) fn open_shadow(&self, calls: SyncSender<Asked>) -> ShadowGuard<'_> {
        *self.shadow.lock() = Some(calls);
        ShadowGuard(&self.shadow)
    }

    /// Hands a call to whoever compares calls.
    pub(crate) fn tell_shadow(&self, asked: impl FnOnce() -> Option<Asked>) {
        if let Some(calls) = &*self.shadow.lock()
            && let Some(asked) = asked()
        {
            // One that finds no room is left out.
            let _told = calls.try_send(asked);
        }
    }

    /// Operations that run, on whatever build.
    pub(crate) fn running(&self) -> u64 {
        let builds = self.loaded().into_iter().chain(self.replaced());
        builds.map(|build| build.running_count()).sum()
    }

    /// That the last swap went back by itself, and why, until someone swaps, goes back, or releases the driver.
    pub(crate) fn setback(&self) -> Option<String> {
        let history = self.history.lock();
        let (build, evidence) = history.last_evidence()?;
        let (name, digest, since) = (&self.name, &build.digest, build.since);
        Some(format!(
            "driver `{name}` went back to the build before: {digest} of {since} {evidence}; `mica driver history {name}` tells more, and a swap, a rollback or `mica driver release {name}` ends this notice"
        ))
    }

    /// Builds that were replaced and have operations still, the last first.
    pub(super) fn replaced(&self) -> Vec<Arc<Active<G>>> {
        let running = self.loaded();
        let is_old = |build: &Arc<Active<G>>| {
            build.running_count() > 0
                && !running.as_ref().is_some_and(|new| Arc::ptr_eq(new, build))
        };
        let replaced = self.replaced.lock();
        let builds = replaced.iter().rev().filter_map(Weak::upgrade);
        builds.filter(is_old).collect()
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// [`Error::Quarantined`]; why the first build cannot be had; [`Error::Overloaded`] when too many run for too long.
    pub(crate) fn enter(
        &self,
        name: &'static str,
        subject: Subject<'_>,
        flow: Flow,
    ) -> Result<Ticket<G>> {
        if let Some(view) = self.quarantine.refusal(subject) {
            return Err(Error::Quarantined {
                driver: self.name.clone(),
                store: view.store,
                layer: view.layer,
                reason: view.reason,
            });
        }
        // Before anything is taken that others wait for: it may have to be compiled.
        self.active()?;
        let stream = match flow {
            Flow::None => None,
            Flow::Stream => Some([
                // The driver's own limit first, so that a driver whose clients stand still takes none of the common permits.
                stream_permit(&self.own_streams, "driver_streams")?,
                stream_permit(&self.gates.streams, "streams")?,
            ]),
        };
        let overloaded = || {
            Error::Overloaded(format!(
                "driver `{}` is busy for {ADMISSION_TIMEOUT:?}",
                self.name
            ))
        };
        let gates = [&self.own_gate, &self.gates.operations].map(Arc::clone);
        let permits = Lent::take(gates, ADMISSION_TIMEOUT).ok_or_else(overloaded)?;
        self.operations.fetch_add(1, Ordering::Relaxed);
        let current = self.current()?;
        let (active, role) = match current.trial.clone() {
            None => (Arc::clone(&current.active), Role::Usual),
            Some(trial) => match trial.choose(name, flow == Flow::Stream) {
                Choice::New(risk) => (Arc::clone(&trial.new), Role::OnTrial(risk)),
                Choice::Old => (Arc::clone(&trial.old), Role::Usual),
                Choice::Check => (Arc::clone(&trial.old), Role::Check(trial)),
            },
        };
        Ok(Ticket::new(
            active,
            (name, subject),
            role,
            (permits, stream),
        ))
    }

    /// Notes that the driver broke; says what is kept from calling it from now on.
    pub(crate) fn fault(&self, subject: Subject<'_>, reason: &str) -> Vec<QuarantineView> {
        self.count_fault();
        self.quarantine.fault(Instant::now(), subject, reason)
    }

    /// Counts an operation that the driver broke in.
    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Operations that were begun, and those that the driver broke in.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (
            self.operations.load(Ordering::Relaxed),
            self.faults.load(Ordering::Relaxed),
        )
    }
}

/// Somebody compares calls while it lives.
#[derive(Debug)]
pub(super) struct ShadowGuard<'a>(&'a Mutex<Option<SyncSender<Asked>>>);

impl Drop for ShadowGuard<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

fn stream_permit(gate: &Arc<Gate>, limit: &str) -> Result<Permit> {
    gate.enter(ADMISSION_TIMEOUT).ok_or_else(|| {
        let text =
            format!("no other archive or listing has ended for {ADMISSION_TIMEOUT:?}: `{limit}`");
        Error::Overloaded(text)
    })
}

#[cfg(test)]
mod tests;
