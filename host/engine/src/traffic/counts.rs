//! Operations of drivers: how they ended, by build, and what they took.
//!
//! Invariant: counting one takes atomics only; the counts of a build that is long gone are kept as those of `older` builds, so
//! that no sum ever goes back.

use super::call::Front;
use super::calls::told;
use super::histogram::{HOST_CALLS, MEMORY_BYTES, MICROSECONDS};
use super::{Distribution, Histogram, OUTCOMES};
use crate::store::Verb;
use mica_runtime::Spent;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Builds of a driver that are told one by one.
const BUILDS: usize = 3;

/// Operations of one build, by front end, operation and outcome.
#[derive(Debug)]
pub(crate) struct CallCounts(Box<[AtomicU64]>);

impl Default for CallCounts {
    fn default() -> Self {
        let places = Front::ALL.len() * Verb::ALL.len() * OUTCOMES.len();
        Self((0..places).map(|_| AtomicU64::default()).collect())
    }
}

impl CallCounts {
    fn note(&self, front: Front, verb: Verb, outcome: usize) {
        let row = front as usize * Verb::ALL.len() + verb as usize;
        if let Some(count) = self.0.get(row * OUTCOMES.len() + outcome) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn add(&self, other: &Self) {
        for (count, more) in self.0.iter().zip(&other.0) {
            count.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn rows(&self, generation: &str) -> Vec<DriverRow> {
        let places = Front::ALL
            .into_iter()
            .flat_map(|front| Verb::ALL.map(|verb| (front, verb.word())));
        let counts = self.0.chunks(OUTCOMES.len());
        let rows = places
            .zip(counts)
            .map(|((front, operation), counts)| DriverRow {
                generation: generation.to_owned(),
                front,
                operation,
                outcomes: told(counts.iter()),
            });
        rows.filter(|row| !row.outcomes.is_empty()).collect()
    }
}

/// Operations of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverRow {
    /// The build's number, or `older` for those before the last three.
    pub generation: String,
    /// For whom it worked.
    pub front: Front,
    /// The driver's function.
    pub operation: &'static str,
    /// How many ended how.
    pub outcomes: Vec<(&'static str, u64)>,
}

/// What operations of a driver took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRow {
    /// The driver's function.
    pub operation: &'static str,
    /// Microseconds, without waits for clients.
    pub microseconds: Distribution,
    /// Host calls.
    pub host_calls: Distribution,
    /// Bytes of guest memory.
    pub memory_bytes: Distribution,
}

/// An operation that ended.
#[derive(Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) front: Front,
    pub(crate) verb: Verb,
    /// A place in `OUTCOMES`.
    pub(crate) outcome: usize,
    /// Without waits for the client.
    pub(crate) took: Duration,
    pub(crate) spent: &'a Spent,
}

#[derive(Debug)]
struct Amounts {
    microseconds: Histogram,
    host_calls: Histogram,
    memory_bytes: Histogram,
}

/// Counts what a driver does, whatever its build.
#[derive(Debug)]
pub(crate) struct Tally {
    builds: Mutex<VecDeque<(u64, Arc<CallCounts>)>>,
    older: CallCounts,
    amounts: [Amounts; Verb::ALL.len()],
    memory_peak: AtomicU64,
    pub(crate) swaps: AtomicU64,
    pub(crate) went_back: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            builds: Mutex::default(),
            older: CallCounts::default(),
            amounts: std::array::from_fn(|_| Amounts {
                microseconds: Histogram::new(MICROSECONDS),
                host_calls: Histogram::new(HOST_CALLS),
                memory_bytes: Histogram::new(MEMORY_BYTES),
            }),
            memory_peak: AtomicU64::default(),
            swaps: AtomicU64::default(),
            went_back: AtomicU64::default(),
        }
    }
}

impl Tally {
    /// Takes a build into account; one that takes the place again is known already.
    pub(crate) fn add(&self, number: u64, counts: &Arc<CallCounts>) {
        let mut builds = self.builds.lock();
        if !builds.iter().any(|(known, _)| *known == number) {
            builds.push_back((number, Arc::clone(counts)));
        }
        self.fold(&mut builds);
    }

    /// Puts builds together that no operation runs on any more.
    fn fold(&self, builds: &mut VecDeque<(u64, Arc<CallCounts>)>) {
        while builds.len() > BUILDS {
            let is_gone = |(_, counts): &(u64, Arc<CallCounts>)| Arc::strong_count(counts) == 1;
            let Some(place) = builds.iter().position(is_gone) else {
                return;
            };
            if let Some((_, counts)) = builds.remove(place) {
                self.older.add(&counts);
            }
        }
    }

    /// Counts an operation that ended on a build.
    pub(crate) fn note(&self, counts: &CallCounts, sample: &Sample<'_>) {
        counts.note(sample.front, sample.verb, sample.outcome);
        let Some(amounts) = self.amounts.get(sample.verb as usize) else {
            return;
        };
        let microseconds = u64::try_from(sample.took.as_micros()).unwrap_or(u64::MAX);
        let memory = sample.spent.memory_bytes();
        amounts.microseconds.note(microseconds);
        amounts.host_calls.note(sample.spent.host_calls());
        amounts.memory_bytes.note(memory);
        self.memory_peak.fetch_max(memory, Ordering::Relaxed);
    }

    /// How operations ended, by build.
    pub(crate) fn rows(&self) -> Vec<DriverRow> {
        let mut builds = self.builds.lock();
        self.fold(&mut builds);
        let older = self.older.rows("older");
        let named = builds.iter();
        let named = named.flat_map(|(number, counts)| counts.rows(&number.to_string()));
        older.into_iter().chain(named).collect()
    }

    /// What operations took, for those that there were.
    pub(crate) fn amounts(&self) -> Vec<OwnRow> {
        let rows = Verb::ALL.into_iter().zip(&self.amounts);
        let rows = rows.map(|(verb, amounts)| OwnRow {
            operation: verb.word(),
            microseconds: amounts.microseconds.told(),
            host_calls: amounts.host_calls.told(),
            memory_bytes: amounts.memory_bytes.told(),
        });
        let is_used = |row: &OwnRow| row.microseconds.counts.iter().any(|count| *count > 0);
        rows.filter(is_used).collect()
    }

    /// The most guest memory of an operation since the start, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Ordering::Relaxed)
    }
}
