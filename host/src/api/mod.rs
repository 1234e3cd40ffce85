//! Protocols: what goes over the wire and how it maps to the engine.
//!
//! Invariant: a protocol parses, calls the engine and prints; it decides nothing and holds no state of its own.

pub(crate) mod rest;
pub(crate) mod types;
