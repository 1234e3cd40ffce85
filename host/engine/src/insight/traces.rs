//! The last operations of a driver, with their host calls.
//!
//! Invariant: operations that failed and those that did not push out their own kind only, so a failure stays while much succeeds.

use super::Origin;
use crate::view::{HostCall, TraceDocument, TraceView};
use crate::{Error, Moment, Result};
use mica_runtime::{Trace, TraceFacts};
use mica_text::SafeText;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Of an operation that succeeded and cannot be replayed, so many bytes are kept: such are large, and there may be many.
const HEAD_BYTES: usize = 16 << 10;
/// Bytes of what a client was told that are kept.
const ERROR_BYTES: usize = 4 << 10;
/// What an operation takes beside its trace and its texts.
const COST_BYTES: usize = 512;

/// The last operations of a driver.
#[derive(Debug)]
pub(crate) struct Traces {
    /// For each of the two kinds.
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    passed: Queue<Arc<KeptTrace>>,
    failed: Queue<Arc<KeptTrace>>,
}

#[derive(Debug)]
struct Queue<T> {
    bytes: usize,
    kept: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            bytes: 0,
            kept: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds one, for which the oldest make room; the newest stays whatever it takes.
    fn push(&mut self, new: T, cost: impl Fn(&T) -> usize, most_bytes: usize) {
        self.bytes += cost(&new);
        self.kept.push_back(new);
        while self.bytes > most_bytes && self.kept.len() > 1 {
            let Some(first) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= cost(&first);
        }
    }
}

/// An operation that was recorded.
#[derive(Debug)]
pub(crate) struct KeptTrace {
    number: u64,
    origin: Origin,
    time: Moment,
    /// Code and text of what the client was told, if it failed.
    error: Option<(&'static str, String)>,
    pub(crate) trace: Trace,
}

/// Which operations are wanted.
#[derive(Clone, Debug, Default)]
pub struct TraceFilter {
    /// Those about this store.
    pub store: Option<String>,
    /// Those about this layer.
    pub layer: Option<String>,
    /// Those of this client's call.
    pub request: Option<String>,
    /// Only those that failed.
    pub only_failed: bool,
}

/// How much is kept of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
}

impl Traces {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes: most_bytes / 2,
            kept: Mutex::default(),
        }
    }

    pub(super) fn add(
        &self,
        origin: Origin,
        mut trace: Trace,
        error: Option<(&'static str, String)>,
    ) {
        if error.is_none() && trace.obstacle().is_some() {
            trace.shorten(HEAD_BYTES);
        }
        // One operation takes no more than half of its kind's memory.
        trace.bound(self.most_bytes / 2);
        let error = error.map(|(code, text)| (code, SafeText::within(&text, ERROR_BYTES).into()));
        let mut kept = self.kept.lock();
        kept.last += 1;
        let trace = KeptTrace {
            number: kept.last,
            origin,
            time: Moment::now(),
            error,
            trace,
        };
        let queue = match trace.error {
            Some(_) => &mut kept.failed,
            None => &mut kept.passed,
        };
        queue.push(Arc::new(trace), |trace| trace.cost(), self.most_bytes);
    }

    /// The operations that are wanted, the last first.
    pub(crate) fn list(&self, filter: &TraceFilter) -> Vec<TraceView> {
        let found = self.all().into_iter();
        let found = found.filter(|trace| filter.fits(trace));
        found.map(|trace| trace.view()).collect()
    }

    /// An operation of a client's call: the one of this number, or else the last that failed, or else the last.
    ///
    /// # Errors
    /// [`Error::UnknownTrace`].
    pub(crate) fn find(
        &self,
        driver: &str,
        request: &str,
        number: Option<u64>,
    ) -> Result<Arc<KeptTrace>> {
        let is_of = |trace: &&Arc<KeptTrace>| match number {
            Some(number) => trace.number == number && trace.has_request(request),
            None => trace.has_request(request),
        };
        let all = self.all();
        let failed = all.iter().filter(|trace| trace.error.is_some()).find(is_of);
        let found = failed.or_else(|| all.iter().find(is_of));
        found.cloned().ok_or_else(|| Error::UnknownTrace {
            driver: driver.to_owned(),
            request: SafeText::label(request).into(),
        })
    }

    pub(crate) fn amount(&self) -> Amount {
        let kept = self.kept.lock();
        Amount {
            passed: kept.passed.kept.len() as u64,
            failed: kept.failed.kept.len() as u64,
            bytes: (kept.passed.bytes + kept.failed.bytes) as u64,
        }
    }

    /// All of them, the last first.
    fn all(&self) -> Vec<Arc<KeptTrace>> {
        let kept = self.kept.lock();
        let both = kept.passed.kept.iter().chain(&kept.failed.kept);
        let mut all: Vec<_> = both.cloned().collect();
        drop(kept);
        all.sort_unstable_by_key(|trace| std::cmp::Reverse(trace.number));
        all
    }
}

impl KeptTrace {
    fn cost(&self) -> usize {
        let error = self.error.as_ref().map_or(0, |(_, text)| text.len());
        let Origin {
            store,
            layer,
            request,
            digest,
            ..
        } = &self.origin;
        let layer = layer.as_ref().map_or(0, String::len);
        let request = request.as_ref().map_or(0, |request| request.len());
        let texts = error + store.len() + layer + request + digest.len();
        COST_BYTES + texts + self.trace.bytes()
    }

    fn has_request(&self, request: &str) -> bool {
        self.origin.request.as_deref().unwrap_or(NO_REQUEST) == request
    }

    /// The digest of the component that ran.
    pub(crate) fn digest(&self) -> &str {
        &self.origin.digest
    }

    fn view(&self) -> TraceView {
        let error = self.error.as_ref();
        TraceView {
            number: self.number,
            request: self
                .origin
                .request
                .as_deref()
                .unwrap_or(NO_REQUEST)
                .to_owned(),
            time: self.time,
            operation: self.origin.operation.to_owned(),
            function: self.trace.question.function().to_owned(),
            store: self.origin.store.clone(),
            layer: self.origin.layer.clone(),
            generation: self.origin.generation,
            digest: self.origin.digest.to_string(),
            calls: self.trace.calls(),
            bytes: self.trace.bytes() as u64,
            obstacle: self.trace.obstacle(),
            code: error.map(|(code, _)| (*code).to_owned()),
            error: error.map(|(_, text)| text.clone()),
        }
    }

    /// All of it.
    pub(crate) fn document(&self) -> TraceDocument {
        let calls = self.trace.host_calls().into_iter().map(|call| HostCall {
            number: call.number,
            function: call.function,
            arguments: call.arguments.into(),
            answer: call.answer.into(),
        });
        TraceDocument {
            operation: self.view(),
            question: serde_json::to_value(&self.trace.question).unwrap_or_default(),
            answer: self.trace.answer().into(),
            host_calls: calls.collect(),
        }
    }

    /// What a file says of it.
    pub(crate) fn facts(&self, driver: &str) -> TraceFacts {
        TraceFacts {
            driver: driver.to_owned(),
            digest: self.origin.digest.to_string(),
            generation: self.origin.generation,
            operation: self.origin.operation.to_owned(),
            store: self.origin.store.clone(),
            layer: self.origin.layer.clone(),
            request: self.origin.request.as_deref().map(str::to_owned),
            time: self.time.to_string(),
            error: self.error.as_ref().map(|(_, text)| text.clone()),
        }
    }
}

/// What stands for the call of an operation that no client asked for.
const NO_REQUEST: &str = "-";

impl TraceFilter {
    fn fits(&self, trace: &KeptTrace) -> bool {
        let fits = |asked: &Option<String>, told: Option<&str>| {
            asked.is_none() || asked.as_deref() == told
        };
        let request = self.request.as_deref();
        fits(&self.store, Some(&trace.origin.store))
            && fits(&self.layer, trace.origin.layer.as_deref())
            && request.is_none_or(|request| trace.has_request(request))
            && (!self.only_failed || trace.error.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_the_newest_stays() {
        let mut queue = Queue::default();
        for cost in [3, 4, 5] {
            queue.push(cost, |cost| *cost, 10);
        }
        assert_eq!((queue.bytes, queue.kept.clone()), (9, [4, 5].into()));
        queue.push(30, |cost| *cost, 10);
        assert_eq!((queue.bytes, queue.kept.clone()), (30, [30].into()));
        queue.push(1, |cost| *cost, 10);
        assert_eq!((queue.bytes, queue.kept), (1, [1].into()));
    }
}
