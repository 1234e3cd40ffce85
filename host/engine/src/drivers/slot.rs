//! A driver's name with the build that runs under it.
//!
//! Invariant: whoever entered is counted on the build that it got, so a swap knows when the old one is idle.

use super::active::{Active, Build};
use super::gate::{Gate, Permit};
use super::lent::Lent;
use super::quarantine::{Quarantine, Subject};
use crate::view::QuarantineView;
use crate::{Error, Result};
use arc_swap::ArcSwapOption;
use mica_runtime::{CancelToken, ClientWait, Generation, Grants, Limits};
use parking_lot::Mutex;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// A driver's name with the build that runs under it.
#[derive(Debug)]
pub(crate) struct Slot<G = Generation> {
    pub(crate) name: String,
    pub(crate) grants: Grants,
    /// None until someone needs the driver, if it has to be compiled first.
    active: ArcSwapOption<Active<G>>,
    /// The lock is held while it loads.
    source: Mutex<Option<Box<dyn Source<G>>>>,
    /// What a swap without a component goes back to; the lock is held during a swap.
    pub(crate) previous: Mutex<Option<Build>>,
    pub(crate) quarantine: Quarantine,
    own_gate: Arc<Gate>,
    own_streams: Arc<Gate>,
    gates: Gates,
    operations: AtomicU64,
    faults: AtomicU64,
}

/// An operation that runs on a build.
#[derive(Debug)]
pub(crate) struct Ticket<G = Generation> {
    active: Arc<Active<G>>,
    key: u64,
    permits: Arc<Lent>,
    _stream: Option<[Permit; 2]>,
}

impl<G> Ticket<G> {
    /// The build that it runs on.
    pub(crate) fn generation(&self) -> &G {
        &self.active.generation
    }

    /// Lends what it holds to others while it waits for its client.
    pub(crate) fn client_wait(&self) -> Arc<dyn ClientWait> {
        Arc::<Lent>::clone(&self.permits)
    }
}

impl<G> Drop for Ticket<G> {
    fn drop(&mut self) {
        let mut running = self.active.running();
        running.tokens.remove(&self.key);
        if running.tokens.is_empty() {
            self.active.idle.notify_all();
        }
    }
}

impl<G> Slot<G> {
    /// A slot without a build. `gates` bounds the operations of all drivers.
    pub(crate) fn new(name: &str, grants: Grants, limits: &Limits, gates: &Gates) -> Self {
        Self {
            name: name.to_owned(),
            grants,
            active: ArcSwapOption::empty(),
            source: Mutex::default(),
            previous: Mutex::default(),
            quarantine: Quarantine::new(limits),
            own_gate: Gate::new(limits.driver_operations),
            own_streams: Gate::new(limits.driver_streams),
            gates: gates.clone(),
            operations: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }

    /// The same slot with its first build.
    pub(crate) fn filled(self, active: Arc<Active<G>>) -> Self {
        self.active.store(Some(active));
        self
    }

    /// The same slot, whose first build is made when someone needs it.
    pub(crate) fn fed_by(self, source: Box<dyn Source<G>>) -> Self {
        *self.source.lock() = Some(source);
        self
    }

    /// The build that runs. The first who needs it waits until it is compiled, and so do those who come meanwhile.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) fn active(&self) -> Result<Arc<Active<G>>> {
        if let Some(active) = self.loaded() {
            return Ok(active);
        }
        let mut source = self.source.lock();
        // Asked again under the lock: whoever waited for it finds what the first one compiled.
        if let Some(active) = self.loaded() {
            return Ok(active);
        }
        let Some(waiting) = source.as_mut() else {
            return Err(Error::UnknownDriver {
                driver: self.name.clone(),
                known: Vec::new(),
            });
        };
        // An error leaves the source in its place, so the next caller tries again.
        let active = waiting.load()?;
        self.active.store(Some(Arc::clone(&active)));
        *source = None;
        Ok(active)
    }

    /// The build that runs, if there is one yet.
    pub(crate) fn loaded(&self) -> Option<Arc<Active<G>>> {
        self.active.load_full()
    }

    /// Puts another build in its place; operations that run stay on theirs.
    pub(crate) fn replace(&self, active: Arc<Active<G>>) {
        // Nothing that is being compiled may take the place afterwards.
        let mut source = self.source.lock();
        *source = None;
        self.active.store(Some(active));
        self.quarantine.lift();
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// [`Error::Quarantined`]; why the first build cannot be had; [`Error::Overloaded`] when too many run for too long.
    pub(crate) fn enter(
        &self,
        subject: Subject<'_>,
        flow: Flow,
        cancel: &CancelToken,
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
        let (active, key) = self.register(cancel)?;
        Ok(Ticket {
            active,
            key,
            permits,
            _stream: stream,
        })
    }

    /// Counts an operation on the active build. One that was swapped out meanwhile is left again, or its drain
    /// could have ended without us.
    fn register(&self, cancel: &CancelToken) -> Result<(Arc<Active<G>>, u64)> {
        loop {
            let active = self.active()?;
            let mut running = active.running();
            let key = running.next;
            running.next += 1;
            running.tokens.insert(key, cancel.clone());
            // A swap that came between reading and counting may have seen an idle build and gone on.
            if Arc::ptr_eq(&active, &self.active()?) {
                drop(running);
                return Ok((active, key));
            }
            running.tokens.remove(&key);
        }
    }

    /// Notes that the driver broke; says what is kept from calling it from now on.
    pub(crate) fn fault(&self, subject: Subject<'_>, reason: &str) -> Vec<QuarantineView> {
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.quarantine.fault(Instant::now(), subject, reason)
    }

    /// Operations that were begun, and those that the driver broke in.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (
            self.operations.load(Ordering::Relaxed),
            self.faults.load(Ordering::Relaxed),
        )
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
mod tests {
    use super::*;
    use crate::settings::Origin;
    use std::borrow::Cow;

    fn active(name: &'static str, number: u64) -> Arc<Active<&'static str>> {
        let build = Build {
            bytes: Cow::Borrowed(&[]),
            origin: Origin::Embedded,
            digest: name.to_owned(),
        };
        Active::new(Arc::new(name), build, number)
    }

    fn slot() -> Slot<&'static str> {
        Slot::new(
            "test",
            Grants::standard(),
            &Limits::default(),
            &Gates::new(&Limits::default()),
        )
        .filled(active("old", 1))
    }

    fn enter(slot: &Slot<&'static str>, cancel: &CancelToken) -> Result<Ticket<&'static str>> {
        slot.enter(SUBJECT, Flow::None, cancel)
    }

    const SUBJECT: Subject<'_> = Subject {
        store: "store",
        layer: Some("layer"),
    };

    #[test]
    fn a_running_operation_keeps_its_build_and_the_next_gets_the_new_one() {
        let slot = slot();
        let before = enter(&slot, &CancelToken::default()).unwrap();
        let old = slot.active().unwrap();
        slot.replace(active("new", 2));
        let after = enter(&slot, &CancelToken::default()).unwrap();
        assert_eq!((*before.generation(), *after.generation()), ("old", "new"));
        assert_eq!(
            (old.running_count(), slot.active().unwrap().running_count()),
            (1, 1)
        );
    }

    #[test]
    fn draining_ends_with_the_last_operation() {
        let slot = slot();
        let cancel = CancelToken::default();
        let running = enter(&slot, &cancel).unwrap();
        let old = slot.active().unwrap();
        slot.replace(active("new", 2));
        std::thread::scope(|scope| {
            let drained = scope.spawn(|| old.drain(Duration::from_secs(20)));
            drop(running);
            assert!(drained.join().unwrap());
        });
        assert!(!cancel.is_cancelled());
    }

    #[test]
    fn what_does_not_end_in_time_is_cancelled() {
        let slot = slot();
        let cancel = CancelToken::default();
        let _running = enter(&slot, &cancel).unwrap();
        let old = slot.active().unwrap();
        slot.replace(active("new", 2));
        assert!(!old.drain(Duration::from_millis(1)));
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn a_swap_lifts_the_quarantine() {
        let slot = slot();
        let fault = |store| {
            let layer = None;
            slot.fault(Subject { store, layer }, "boom").len()
        };
        assert_eq!((fault("a"), fault("b"), fault("c")), (0, 0, 1));
        let refused = enter(&slot, &CancelToken::default()).unwrap_err();
        assert_eq!(refused.code(), "quarantined");
        slot.replace(active("new", 2));
        assert!(enter(&slot, &CancelToken::default()).is_ok());
        assert_eq!(slot.totals(), (1, 3));
    }

    /// Fails once, then gives a build.
    #[derive(Debug)]
    struct Flaky(Arc<AtomicU64>);

    impl Source<&'static str> for Flaky {
        fn load(&mut self) -> Result<Arc<Active<&'static str>>> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Error::Cancelled),
                _ => Ok(active("late", 1)),
            }
        }
    }

    #[test]
    fn a_build_is_made_once_when_it_is_needed_first() {
        let asked = Arc::new(AtomicU64::new(0));
        let empty = || {
            let limits = Limits::default();
            Slot::new("test", Grants::standard(), &limits, &Gates::new(&limits))
        };
        let slot = empty().fed_by(Box::new(Flaky(Arc::clone(&asked))));
        assert!(slot.loaded().is_none());
        assert!(enter(&slot, &CancelToken::default()).is_err());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| enter(&slot, &CancelToken::default()).unwrap());
            }
        });
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let unused = empty().fed_by(Box::new(Flaky(Arc::default())));
        unused.replace(active("new", 2));
        let entered = enter(&unused, &CancelToken::default()).unwrap();
        assert_eq!(*entered.generation(), "new");
    }
}
