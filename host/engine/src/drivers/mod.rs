//! Drivers: which there are, which build of each runs, and how it is called.
//!
//! Invariant: an operation runs on one build from its beginning to its end; a swap changes what the next one gets.

mod gate;
mod lent;
mod load;
mod probe;
mod quarantine;
mod registry;
mod release;
mod slot;
mod swap;

pub(crate) use quarantine::Subject;
pub(crate) use registry::Registry;
pub(crate) use slot::{Active, Build, Flow, Gates, Slot};
