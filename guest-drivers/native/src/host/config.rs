//! `mica:host/config`: the options of the store whose operation runs.
//!
//! Invariant: those that the test gave.

/// The store's driver options, in the order given.
#[must_use]
pub fn options() -> Vec<(String, String)> {
    crate::store::running().map_or_else(|_no_store| Vec::new(), |running| running.options())
}
