//! What can be done with snapshots.
//!
//! | operation | snapshot | others |
//! |---|---|---|
//! | prepare, view | exclusive | parent shared |
//! | commit | exclusive | the new name exclusive; a new parent shared |
//! | unpack | exclusive | |
//! | remove, update | exclusive | |
//! | mounts, usage, list, describe, send | | |
//!
//! A layer is locked only while the driver works on it.
//!
//! Invariant: the lock of a key is held by one operation on that key; nothing that is slow holds anything else.

mod change;
mod commit;
mod look;
mod open;
mod prepare;
mod rebase;
mod send;
mod unpack;
