//! What a driver says and does, kept for those who look into it: for each driver, in memory, bounded.
//!
//! Invariant: a driver that says much takes memory from what it said before and from nothing else; nobody waits for those who
//! look.

mod denials;
mod log;
mod span;
mod traces;

use denials::Denials;
pub(crate) use denials::Missed;
use log::DriverLog;
pub(crate) use log::Listener;
pub use log::{LogFilter, LogReading};
use span::OpenSpan;
pub use traces::TraceFilter;
use traces::Traces;

use crate::Error;
use mica_runtime::{Limits, Spent};
use mica_text::with_causes;
use parking_lot::Mutex;
use std::sync::Arc;

/// What is kept of one driver.
#[derive(Debug)]
pub(crate) struct Insight {
    pub(crate) log: DriverLog,
    pub(crate) traces: Traces,
    pub(crate) denials: Denials,
}

impl Insight {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            log: DriverLog::new(limits.driver_log_bytes),
            traces: Traces::new(limits.driver_trace_bytes),
            denials: Denials::default(),
        })
    }
}

/// The operation of a driver that something is kept of.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The driver's function.
    pub(crate) operation: &'static str,
    /// The store, and the layer if it is about one.
    pub(crate) store: String,
    pub(crate) layer: Option<String>,
    /// The build that runs it.
    pub(crate) generation: u64,
    pub(crate) digest: Arc<str>,
    /// The client's call.
    pub(crate) request: Option<Arc<str>>,
}

impl Listener {
    /// Keeps what an operation says.
    pub(crate) fn new(insight: &Arc<Insight>, origin: Origin) -> Arc<Self> {
        let insight = Arc::clone(insight);
        Arc::new(Self {
            insight,
            origin,
            trace: Mutex::default(),
            span: OpenSpan::begin(),
            denials: Mutex::default(),
        })
    }

    /// What the operation did and was not granted, as far as it is to be told.
    pub(crate) fn take_denials(&self) -> Vec<Missed> {
        std::mem::take(&mut *self.denials.lock())
    }

    /// Keeps what was recorded of the operation, now that it is known what came of it and what it took.
    pub(crate) fn conclude(&self, driver: &str, spent: &Spent, error: Option<&Error>) {
        if let Some(span) = &self.span {
            span.end(driver, &self.origin, spent, error);
        }
        let Some(trace) = self.trace.lock().take() else {
            return;
        };
        let told = error.map(|error| (error.code(), with_causes(error)));
        let origin = self.origin.clone();
        self.insight.traces.add(origin, trace, told);
    }
}
