//! A build that runs, the operations on it, and how long they kept it busy.
//!
//! Invariant: an operation is counted on one build at a time: the one that is at work on it.

use super::quarantine::Subject;
use crate::Moment;
use crate::settings::Origin;
use crate::traffic::{CallCounts, ClientCall};
use crate::view::{Provenance, RunningView};
use mica_runtime::Generation;
use parking_lot::{Mutex, MutexGuard};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Operations of which it is known how long they took, for each function of the driver.
const TIMES: usize = 32;
/// Operations that are told of.
const TOLD_OPERATIONS: usize = 100;

/// A component, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) bytes: Cow<'static, [u8]>,
    pub(crate) origin: Origin,
    pub(crate) provenance: Option<Provenance>,
    pub(crate) digest: String,
}

/// A build that runs.
#[derive(Debug)]
pub(crate) struct Active<G = Generation> {
    pub(crate) generation: Arc<G>,
    pub(crate) build: Build,
    /// That of the build, for those who keep it.
    pub(super) digest: Arc<str>,
    /// How many builds the slot had with this one.
    pub(crate) number: u64,
    pub(crate) loaded: Moment,
    /// How operations on it ended.
    pub(super) counts: Arc<CallCounts>,
    running: Mutex<Running>,
    times: Mutex<HashMap<&'static str, VecDeque<Duration>>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    operations: BTreeMap<u64, RunningView>,
}

impl<G> Active<G> {
    pub(crate) fn new(generation: Arc<G>, build: Build, number: u64) -> Arc<Self> {
        Arc::new(Self {
            generation,
            digest: Arc::from(build.digest.as_str()),
            build,
            number,
            loaded: Moment::now(),
            counts: Arc::default(),
            running: Mutex::default(),
            times: Mutex::default(),
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock()
    }

    /// Counts an operation that begins; the key is for [`Active::end`].
    pub(super) fn begin(&self, name: &'static str, subject: Subject<'_>) -> u64 {
        let view = RunningView {
            operation: name.to_owned(),
            store: subject.store.to_owned(),
            layer: subject.layer.map(str::to_owned),
            began: Moment::now(),
            request: ClientCall::current_id().map(|id| id.to_string()),
        };
        self.take(view)
    }

    /// Counts an operation that goes on here.
    pub(super) fn take(&self, view: RunningView) -> u64 {
        let mut running = self.running();
        let key = running.next;
        running.next += 1;
        running.operations.insert(key, view);
        key
    }

    /// Counts an operation no more, and says which it was.
    pub(super) fn end(&self, key: u64) -> Option<RunningView> {
        self.running().operations.remove(&key)
    }

    /// Operations that were begun on it.
    pub(super) fn begun(&self) -> u64 {
        self.running().next
    }

    /// Operations that run on it.
    pub(crate) fn running_count(&self) -> u64 {
        self.running().operations.len() as u64
    }

    /// The oldest operations that run on it.
    pub(super) fn operations(&self) -> Vec<RunningView> {
        let running = self.running();
        let oldest = running.operations.values().take(TOLD_OPERATIONS);
        oldest.cloned().collect()
    }

    /// Notes how long an operation that succeeded kept it busy.
    pub(super) fn took(&self, name: &'static str, time: Duration) {
        let mut times = self.times.lock();
        let of_name = times.entry(name).or_default();
        if of_name.len() == TIMES {
            of_name.pop_front();
        }
        of_name.push_back(time);
    }

    /// The times of the last operations of a name, the shortest first.
    pub(super) fn times(&self, name: &str) -> Vec<Duration> {
        let times = self.times.lock();
        let mut sorted: Vec<_> = times.get(name).into_iter().flatten().copied().collect();
        sorted.sort_unstable();
        sorted
    }
}
