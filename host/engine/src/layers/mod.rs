//! The layers of a store: what can be done with them, what is known of them in memory, and who may work on which at a time.
//!
//! Begin with `store.rs`.
//!
//! Invariant: no call costs more for a store of a hundred thousand layers than for one of ten.

mod store;

mod apply;
mod compare;
mod create;
mod files;
mod hold;
mod left_out;
mod look;
mod metadata;
mod origin;
mod places;
mod remove;
mod usage;

mod locks;
mod set;
mod table;
mod watched;

pub(crate) use create::NewLayer;
pub use files::OpenFile;
pub(crate) use locks::{Held, Key, Locks, Mode};
pub use origin::OriginPages;
pub(crate) use set::{LayerSet, Owner, find_lost};
pub use store::{Expected, LayerStore};
pub(crate) use table::{Entry, Facts, Table};
pub(crate) use watched::Watch;
