//! The layers of a store in memory, and who may work on which at a time.
//!
//! Invariant: no call costs more for a store of a hundred thousand layers than for one of ten.

mod locks;
mod set;
mod table;

pub(crate) use locks::{Held, Key, Locks, Mode};
pub(crate) use set::{LayerSet, Owner};
pub(crate) use table::{Entry, Facts, Table};
