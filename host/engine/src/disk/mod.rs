//! What of a store lies on disk, and how it changes there: layers, rows, small files.
//!
//! ```text
//! files     small files that are replaced whole
//! home      the directory of a store: layers appear in it and disappear by one rename each
//! rows      the database of a store, changed with group commit
//! reserve   blocks for removals on a full disk
//! ```
//!
//! Invariant: nothing here knows a driver or a lock of a layer.

pub(crate) mod files;
mod group;
pub(crate) mod home;
pub(crate) mod reserve;
pub(crate) mod rows;
