//! Calls of clients, whatever the front end: which run, what they are at, how they ended and how long they took.
//!
//! A front end begins a [`ClientCall`] for each request and works within it. Everything that happens in the call finds it by
//! [`ClientCall::current`], on whatever thread: the log writes its id, events name it, the engine notes what it is about.
//!
//! Invariant: memory is bounded by the calls that run and by the names that this program knows, never by what clients say.

mod call;
mod calls;
mod context;
mod counts;
mod histogram;
mod spans;

pub(crate) use call::CallWatch;
pub use call::{ClientCall, Front};
pub use calls::{ClientCalls, Row};
pub use context::RemoteParent;
pub(crate) use counts::{CallCounts, Sample, Tally};
pub use counts::{DriverRow, OwnRow};
pub use histogram::Distribution;
pub(crate) use histogram::Histogram;
pub use spans::{
    Attribute, HostCallSpan, Span, SpanFigures, SpanKind, SpanSettings, Spans, Undelivered,
};
pub(crate) use spans::{Attributes, Place};

use crate::Class;

/// How calls end: well, by the class of an error, or because the client may not ask.
pub(crate) const OUTCOMES: [&str; 15] = [
    "ok",
    "cancelled",
    "invalid",
    "unacceptable",
    "not-found",
    "already-exists",
    "precondition",
    "in-use",
    "not-supported",
    "exhausted",
    "timed-out",
    "unavailable",
    "damaged",
    "internal",
    "denied",
];
/// Their places.
pub(crate) const OK: usize = 0;
const CANCELLED: usize = 1;
/// Of a call that has not ended.
const PENDING: usize = usize::MAX;
const INTERNAL: usize = 13;

/// Another number for each number, with nothing in common (the finalizer of SplitMix64): ids that follow each other are told apart at
/// a glance.
fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether an outcome is no fault of the client, so that its span counts as one that failed.
fn is_own_fault(outcome: &str) -> bool {
    matches!(
        outcome,
        "exhausted" | "timed-out" | "unavailable" | "damaged" | "internal"
    )
}

/// The place of an outcome; what is not known is the daemon's own mistake.
fn place_of(outcome: &str) -> usize {
    let known = OUTCOMES.iter().position(|known| *known == outcome);
    known.unwrap_or(INTERNAL)
}

/// The place of an error's class.
pub(crate) fn place_of_class(class: Class) -> usize {
    place_of(class.word())
}

#[cfg(test)]
mod tests;
