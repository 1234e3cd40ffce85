//! The span of a driver's operation, from when it begins until it is known what came of it.
//!
//! Invariant: nothing is measured of a call that is not recorded.

use super::Origin;
use crate::Error;
use crate::traffic::{Attributes, ClientCall, Place};
use mica_runtime::{Spent, Times};
use mica_text::with_causes;
use parking_lot::Mutex;
use std::time::Instant;

/// An operation that runs.
#[derive(Debug)]
pub(super) struct OpenSpan {
    place: Place,
    began: Instant,
    /// Of each instance that ran for it.
    times: Mutex<Vec<Times>>,
}

impl OpenSpan {
    /// Begins one below the running call, if that is recorded.
    pub(super) fn begin() -> Option<Self> {
        Some(Self {
            place: ClientCall::current_span()?,
            began: Instant::now(),
            times: Mutex::default(),
        })
    }

    pub(super) fn timed_calls(&self) -> usize {
        self.place.host_calls()
    }

    pub(super) fn note(&self, times: Times) {
        self.times.lock().push(times);
    }

    /// It has ended.
    pub(super) fn end(&self, driver: &str, origin: &Origin, spent: &Spent, error: Option<&Error>) {
        let times = self.times.lock();
        let made: u64 = times.iter().map(|times| times.made).sum();
        let told: usize = times.iter().map(|times| times.calls.len()).sum();
        let told = told.min(self.place.host_calls());
        let more = made.saturating_sub(told as u64);
        let own_time = u64::try_from(spent.own_time().as_micros()).unwrap_or(u64::MAX);
        let attributes = Attributes::default()
            .text("mica.request_id", origin.request.as_deref())
            .text("mica.driver", Some(driver))
            .text("mica.operation", Some(origin.operation))
            .text(
                "mica.outcome",
                Some(error.map_or("ok", |error| error.class().word())),
            )
            .text("mica.error_code", error.map(Error::code))
            .text("mica.store", Some(&origin.store))
            .text("mica.layer", origin.layer.as_deref())
            .number("mica.generation", Some(origin.generation))
            .text("mica.digest", Some(&origin.digest))
            .number("mica.host_calls", Some(spent.host_calls()))
            .number("mica.host_calls_without_span", Some(more))
            .number("mica.own_time_us", Some(own_time))
            .number("mica.memory_bytes", Some(spent.memory_bytes()));
        let name = format!("{driver}.{}", origin.operation);
        let error = error.map(|error| with_causes(error));
        self.place
            .end_operation(name, self.began, attributes, error, &times);
    }
}
