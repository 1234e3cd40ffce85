//! Protocols: what goes over the wire and how it maps to the engine.
//!
//! Invariant: a protocol parses, calls the engine and prints; it decides nothing and holds no state of its own but the
//! answers that are kept for clients that ask again (`rest/answers.rs`).

mod archive;
mod body;
mod call;
pub(crate) mod containerd;
mod dispatch;
pub(crate) mod docker;
mod entrance;
mod metrics;
mod refusal;
pub(crate) mod rest;
pub(crate) mod share;
mod stream;
pub(crate) mod types;

pub(crate) use dispatch::caught;
use entrance::Counted;
pub(crate) use entrance::{Entrance, Manners};
