//! The calls of clients that run, and what became of those that ended.
//!
//! Invariant: an id is told as the client gave it only if it harms neither a header nor a log.

use super::call::{Arrival, ClientCall, Front, Inner};
use super::context::RemoteParent;
use super::histogram::MICROSECONDS;
use super::spans::Spans;
use super::{Distribution, Histogram, OUTCOMES, scattered};
use crate::Moment;
use crate::view::CallView;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Characters of an id that a client gives: UUIDs have 36.
const ID_CHARACTERS: usize = 64;

/// The calls of clients.
pub struct ClientCalls {
    /// What makes ids of this daemon others than those of the one before.
    seed: u64,
    next: AtomicU64,
    running: Mutex<BTreeMap<u64, Weak<Inner>>>,
    ended: RwLock<HashMap<(Front, &'static str), Arc<Ended>>>,
    slow: Option<Duration>,
    slow_count: AtomicU64,
    /// Where spans wait, if any are recorded.
    spans: Option<Arc<Spans>>,
}

/// Calls of one operation that ended.
struct Ended {
    outcomes: [AtomicU64; OUTCOMES.len()],
    seconds: Histogram,
}

/// What became of calls of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// By which door they came.
    pub front: Front,
    /// What they did.
    pub operation: &'static str,
    /// How many ended how: `ok`, or the class of the error.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Microseconds in the engine, without waits for clients.
    pub microseconds: Distribution,
}

impl fmt::Debug for ClientCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCalls")
            .field("running", &self.running.lock().len())
            .finish_non_exhaustive()
    }
}

impl ClientCalls {
    /// No calls yet; those that take longer than `slow` will be told in the log, and `spans` gets what is recorded of them.
    pub(crate) fn new(slow: Option<Duration>, spans: Option<Arc<Spans>>) -> Arc<Self> {
        let Moment {
            seconds,
            nanoseconds,
        } = Moment::now();
        Arc::new(Self {
            seed: seconds << 30 | u64::from(nanoseconds),
            next: AtomicU64::default(),
            running: Mutex::default(),
            ended: RwLock::default(),
            slow,
            slow_count: AtomicU64::default(),
            spans,
        })
    }

    /// Begins a call. It gets the id that its client gives, if that is 1 to 64 letters, digits, `-`, `_` and `.`, and else one that
    /// no other call has. `parent` is the span of its client that it belongs to.
    pub fn begin(
        self: &Arc<Self>,
        front: Front,
        client: &Arc<str>,
        id: Option<&str>,
        parent: Option<RemoteParent>,
    ) -> ClientCall {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = match id.filter(|id| is_id(id)) {
            Some(id) => Arc::from(id),
            None => Arc::from(format!(
                "{:016x}",
                scattered(self.seed.wrapping_add(number))
            )),
        };
        let arrival = Arrival {
            number,
            id,
            front,
            client: Arc::clone(client),
            parent,
        };
        let call = ClientCall::new(arrival, self);
        self.running
            .lock()
            .insert(number, Arc::downgrade(call.inner()));
        call
    }

    pub(super) fn ended(&self, call: &Inner) {
        self.running.lock().remove(&call.number);
        call.end_span();
        let time = call.own_time();
        let row = self.row(call.front, call.operation());
        if let Some(count) = row.outcomes.get(call.outcome()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        row.seconds.note(microseconds);
        if self.slow.is_some_and(|slow| time > slow) {
            self.slow_count.fetch_add(1, Ordering::Relaxed);
            let view = call.view();
            tracing::warn!(
                request = %view.request,
                front_end = view.front_end,
                operation = view.operation,
                driver = view.driver,
                store = view.store,
                layer = view.layer,
                seconds = time.as_secs_f64(),
                "a call was slow"
            );
        }
    }

    /// Where spans wait, if any are recorded.
    #[must_use]
    pub fn spans(&self) -> Option<&Arc<Spans>> {
        self.spans.as_ref()
    }

    fn row(&self, front: Front, operation: &'static str) -> Arc<Ended> {
        if let Some(row) = self.ended.read().get(&(front, operation)) {
            return Arc::clone(row);
        }
        let mut ended = self.ended.write();
        Arc::clone(ended.entry((front, operation)).or_insert_with(|| {
            Arc::new(Ended {
                outcomes: Default::default(),
                seconds: Histogram::new(MICROSECONDS),
            })
        }))
    }

    /// The calls that run, the oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<CallView> {
        let running: Vec<_> = self.running.lock().values().cloned().collect();
        let running = running.iter().filter_map(Weak::upgrade);
        running.map(|call| call.view()).collect()
    }

    /// How many calls run.
    #[must_use]
    pub fn running_count(&self) -> u64 {
        self.running.lock().len() as u64
    }

    /// How many calls were slow.
    #[must_use]
    pub fn slow_count(&self) -> u64 {
        self.slow_count.load(Ordering::Relaxed)
    }

    /// What became of calls that ended, by front end and operation.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let ended = self.ended.read();
        let mut rows: Vec<_> = ended
            .iter()
            .map(|((front, operation), row)| Row {
                front: *front,
                operation,
                outcomes: told(row.outcomes.iter()),
                microseconds: row.seconds.told(),
            })
            .collect();
        rows.sort_by_key(|row| (row.front, row.operation));
        rows
    }
}

/// The outcomes that there were, with how often.
pub(super) fn told<'a>(counts: impl Iterator<Item = &'a AtomicU64>) -> Vec<(&'static str, u64)> {
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    let pairs = OUTCOMES.into_iter().zip(counts);
    pairs.filter(|(_, count)| *count > 0).collect()
}

fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_CHARACTERS).contains(&text.len()) && text.bytes().all(is_plain)
}
