//! Where layers are mounted, and who holds them.
//!
//! ```text
//! <run>/m/<store>/<n>            an empty directory that layer number n is mounted on
//! <run>/state/<store>/<n>.json   see `state`
//! ```
//!
//! Mounts outlive the daemon: a start adopts those that it finds.
//!
//! Invariant: the state is written before a mount is attached, so a mount without state is no one's.

mod holders;
mod mount;
mod place;
mod recover;
mod references;
mod release;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod unmount;
mod watch;

pub(crate) use holders::{holder, processes_below};
pub(crate) use place::{Place, Unmounted};
pub(crate) use state::State;
pub(crate) use table::Mounts;
pub(crate) use unmount::Give;
pub(crate) use watch::Watcher;
