//! Spans: what calls of clients and operations of drivers were, with when they began and ended, for a collector of traces.
//!
//! ```text
//! request       front end, operation, store, layer, driver, build, outcome        below the client's own span, if it told one
//!   operation   what the driver was asked, on which build, what came of it
//!     host call                                                                   see `mica_runtime::Times`
//! ```
//!
//! Whether a call is recorded is decided once, when it begins: by its client if it told, else by chance. What has ended waits in
//! a queue for whoever sends it.
//!
//! Invariant: the queue has a bound; what does not fit is dropped and counted, so that a collector that is away costs memory up to
//! that bound and nobody's time.
//!
//! See docs/decisions/0074-traces-are-sent-by-an-exporter-of-our-own.md.

use super::context::RemoteParent;
use super::scattered;
use crate::disk::files;
use crate::{Moment, Result, SafeText};
use mica_runtime::Times;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Bytes of a text in a span.
const TEXT_BYTES: usize = 512;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanSettings {
    /// The part of all calls that are recorded of those whose clients say nothing of it, from 0 to 1.
    pub ratio: f64,
    /// Spans that wait at most.
    pub queue: usize,
    /// Host calls of one operation that get spans of their own.
    pub host_calls: usize,
}

/// Why a span that waited was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The collector was away, or did not answer in time.
    Away,
    /// The collector did not want it.
    Refused,
}

/// How many spans became what, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanFigures {
    /// Those that wait now.
    pub waiting: u64,
    /// Those that the collector took.
    pub delivered: u64,
    /// Those that are lost because the queue was full.
    pub no_room: u64,
    /// Those that are lost as [`Undelivered::Away`].
    pub away: u64,
    /// Those that are lost as [`Undelivered::Refused`].
    pub refused: u64,
}

/// What waits to be sent, and what makes the numbers of new spans.
#[derive(Debug)]
pub struct Spans {
    settings: SpanSettings,
    seed: u64,
    next: AtomicU64,
    queue: Mutex<Queue>,
    filled: Notify,
    delivered: AtomicU64,
    no_room: AtomicU64,
    away: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    /// With the host calls.
    count: usize,
    spans: VecDeque<Span>,
}

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A client's call.
    Request,
    /// A driver's operation.
    Operation,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text of one printable line.
    Text(String),
    /// A number.
    Number(u64),
}

/// Something that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace.
    pub trace: [u8; 16],
    /// Its own number in the trace.
    pub id: [u8; 8],
    /// The span that it belongs to.
    pub parent: Option<[u8; 8]>,
    /// Whether that is a client's.
    pub is_parent_remote: bool,
    /// The client's `tracestate`, passed on.
    pub state: Arc<str>,
    /// What it is of.
    pub kind: SpanKind,
    /// What was done: a word of this program, for a driver's operation behind the driver's name.
    pub name: String,
    /// Nanoseconds since 1970.
    pub began: u64,
    /// Nanoseconds since 1970.
    pub ended: u64,
    /// What else is known of it, by names that stay.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What went wrong, if it is the daemon's, the driver's or the disk's fault.
    pub error: Option<String>,
    /// The host calls of an operation.
    pub host_calls: Vec<HostCallSpan>,
}

/// A host call that has ended, of the operation that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCallSpan {
    /// The function, as the contract calls it.
    pub function: String,
    /// The code of what the driver was told if it failed.
    pub failure: Option<String>,
    /// Nanoseconds since 1970.
    pub began: u64,
    /// Nanoseconds since 1970.
    pub ended: u64,
}

impl Span {
    /// How many spans it stands for.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.host_calls.len()
    }
}

/// The place of a call that is recorded.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) spans: Arc<Spans>,
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    state: Arc<str>,
    began: Moment,
    started: Instant,
}

impl Spans {
    /// Nothing waits yet.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the kernel has no random numbers.
    pub(crate) fn new(settings: SpanSettings) -> Result<Arc<Self>> {
        let failed = |error| crate::Error::io("get a random number", error);
        let random = files::random_bytes().map_err(failed)?;
        Ok(Arc::new(Self {
            settings,
            seed: u64::from_ne_bytes(random),
            next: AtomicU64::default(),
            queue: Mutex::default(),
            filled: Notify::new(),
            delivered: AtomicU64::default(),
            no_room: AtomicU64::default(),
            away: AtomicU64::default(),
            refused: AtomicU64::default(),
        }))
    }

    /// A number that no other span or trace has, and that is not zero, which stands for none.
    fn number(&self) -> u64 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        scattered(self.seed.wrapping_add(next)).max(1)
    }

    /// Decides whether a call is recorded.
    pub(super) fn begin(
        self: &Arc<Self>,
        parent: Option<RemoteParent>,
        (began, started): (Moment, Instant),
    ) -> Option<Place> {
        let place = |trace, parent, state: &str| Place {
            spans: Arc::clone(self),
            trace,
            id: self.number().to_be_bytes(),
            parent,
            state: state.into(),
            began,
            started,
        };
        if let Some(parent) = parent {
            let is_wanted = parent.is_sampled;
            return is_wanted.then(|| place(parent.trace, Some(parent.span), &parent.state));
        }
        let (first, chance) = (self.number(), self.number());
        // 2^64, of which the numbers are spread evenly.
        let all = u64::MAX as f64;
        if self.settings.ratio < 1.0 && chance as f64 >= self.settings.ratio * all {
            return None;
        }
        let trace = u128::from(first) << 64 | u128::from(chance);
        Some(place(trace.to_be_bytes(), None, ""))
    }

    /// Has a span wait, if there is room for it.
    fn push(&self, span: Span) {
        let count = span.count();
        {
            let mut queue = self.queue.lock();
            if queue.count + count > self.settings.queue {
                self.no_room.fetch_add(count as u64, Ordering::Relaxed);
                return;
            }
            queue.count += count;
            queue.spans.push_back(span);
        }
        self.filled.notify_one();
    }

    /// Waits until a span waits.
    pub async fn filled(&self) {
        while self.queue.lock().spans.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes those that have waited longest, `most` of them, but one with all its host calls at least.
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<Span> {
        let mut queue = self.queue.lock();
        let (mut taken, mut count) = (Vec::new(), 0);
        while let Some(next) = queue.spans.front() {
            count += next.count();
            if count > most && !taken.is_empty() {
                break;
            }
            taken.extend(queue.spans.pop_front());
        }
        queue.count -= taken.iter().map(Span::count).sum::<usize>();
        taken
    }

    /// Counts spans that the collector took.
    pub fn note_delivered(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts spans that are lost.
    pub fn note_lost(&self, count: u64, why: Undelivered) {
        let counter = match why {
            Undelivered::Away => &self.away,
            Undelivered::Refused => &self.refused,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// How many became what.
    #[must_use]
    pub fn figures(&self) -> SpanFigures {
        let waiting = self.queue.lock().count as u64;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpanFigures {
            waiting,
            delivered: count(&self.delivered),
            no_room: count(&self.no_room),
            away: count(&self.away),
            refused: count(&self.refused),
        }
    }
}

impl Place {
    /// Host calls of one operation that get spans of their own.
    pub(crate) fn host_calls(&self) -> usize {
        self.spans.settings.host_calls
    }

    /// Whether the call belongs to no span of its client.
    pub(super) fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// A moment of the call: all of them are told by one clock, which does not jump.
    fn at(&self, moment: Instant) -> u64 {
        let began = u128::from(self.began.seconds) * 1_000_000_000;
        let began = began + u128::from(self.began.nanoseconds);
        let since = moment.saturating_duration_since(self.started);
        u64::try_from(began + since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The call has ended.
    pub(super) fn end(&self, name: &str, attributes: Attributes, error: Option<String>) {
        self.spans.push(Span {
            trace: self.trace,
            id: self.id,
            parent: self.parent,
            is_parent_remote: self.parent.is_some(),
            state: Arc::clone(&self.state),
            kind: SpanKind::Request,
            name: name.to_owned(),
            began: self.at(self.started),
            ended: self.at(Instant::now()),
            attributes: attributes.0,
            error,
            host_calls: Vec::new(),
        });
    }

    /// An operation of the call has ended that began then.
    pub(crate) fn end_operation(
        &self,
        name: String,
        began: Instant,
        attributes: Attributes,
        error: Option<String>,
        times: &[Times],
    ) {
        let host_calls = times.iter().flat_map(|times| {
            let after = move |since: Duration| self.at(times.began + since);
            times.calls.iter().map(move |call| HostCallSpan {
                function: call.function(),
                failure: call.failure(),
                began: after(call.after),
                ended: after(call.after + call.took),
            })
        });
        // Each instance that ran for the operation was measured by itself.
        let host_calls = host_calls.take(self.host_calls()).collect();
        self.spans.push(Span {
            trace: self.trace,
            id: self.spans.number().to_be_bytes(),
            parent: Some(self.id),
            is_parent_remote: false,
            state: Arc::clone(&self.state),
            kind: SpanKind::Operation,
            name,
            began: self.at(began),
            ended: self.at(Instant::now()),
            attributes: attributes.0,
            error: error.map(|text| SafeText::within(&text, TEXT_BYTES).into()),
            host_calls,
        });
    }
}

/// Attributes of a span, as they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<(&'static str, Attribute)>);

impl Attributes {
    pub(crate) fn text(mut self, name: &'static str, text: Option<&str>) -> Self {
        let value = text.map(|text| Attribute::Text(SafeText::within(text, TEXT_BYTES).into()));
        self.0.extend(value.map(|value| (name, value)));
        self
    }

    pub(crate) fn number(mut self, name: &'static str, number: Option<u64>) -> Self {
        let value = number.map(Attribute::Number);
        self.0.extend(value.map(|value| (name, value)));
        self
    }
}

#[cfg(test)]
mod tests;
