//! Calls of clients, whatever the front end: which run, what they are at, how they ended and how long they took.
//!
//! A front end begins a [`ClientCall`] for each request and works within it. Everything that happens in the call finds it by
//! [`ClientCall::current`], on whatever thread: the log writes its id, events name it, the engine notes what it is about.
//!
//! Invariant: memory is bounded by the calls that run and by the names that this program knows, never by what clients say.

mod call;
mod calls;
mod counts;
mod histogram;

pub(crate) use call::CallWatch;
pub use call::{ClientCall, Front};
pub use calls::{ClientCalls, Row};
pub(crate) use counts::{CallCounts, Sample, Tally};
pub use counts::{DriverRow, OwnRow};
pub use histogram::Distribution;
pub(crate) use histogram::Histogram;

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
