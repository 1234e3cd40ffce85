//! Drivers: which there are, which build of each runs, and how it is called.
//!
//! Invariant: an operation runs on one build from its beginning to its end; a swap changes what the next one gets.

mod gate;
mod load;
mod probe;
mod quarantine;
mod registry;
mod slot;
mod swap;

pub(crate) use gate::Gate;
pub(crate) use registry::Registry;
pub(crate) use slot::{Active, Build, Slot};
