//! What the daemon gives up at its start, by itself: whoever takes it over later gets no more than this.
//!
//! It keeps the capabilities that it uses and drops all others, also from the bounding set; nothing that it executes gains a
//! right; every descriptor that it was started with closes in its children; it makes nothing that others can write.
//!
//! Landlock is not used. A process under any rule set of Landlock may not mount: on Linux 6.18 (version 7 of its interface)
//! `mount` and `move_mount` fail with EPERM even below a directory for which all rights were given, and mounting is what this
//! daemon is for. A part of the threads cannot be put under it instead, because all of them share one memory.
//!
//! Invariant: called while the process has one thread, because capabilities belong to a thread and are passed on.

use super::Error;
use crate::api::types::ConfinementView;
use crate::config::Config;
use crate::machine;
use rustix::fs::Mode;
use std::io;

use super::listen::LISTENERS;

/// Descriptors of the daemon itself: stores, logs, events, pipes to the compiler.
const OWN_DESCRIPTORS: u64 = 1024;

/// Descriptors of a connection: the socket, and what the runtime of an HTTP/2 connection waits with.
const DESCRIPTORS_PER_CONNECTION: u64 = 4;

/// Descriptors that ordinary work needs: a few hundred connections, and some operations that each hold hundreds of lower
/// directories. With fewer, a busy driver leaves none for others.
const MIN_DESCRIPTORS: u64 = 16_384;

/// Gives up what is not needed, and lowers the limits that need more descriptors than there are.
///
/// # Errors
/// The kernel's. What an old kernel does not know is left out and told.
pub(super) fn confine(config: &mut Config) -> Result<(), Error> {
    let failed = |doing| move |source: io::Error| Error::Process { doing, source };
    // Whatever the umask was: modes that others need are set, and no other is meant.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    if let Err(error) = mica_sys::close_on_exec() {
        tracing::warn!(%error, "descriptors that the daemon was started with stay open in its children");
    }
    // Before the capability that allows it goes.
    let wanted = wanted_files(config);
    let files = mica_sys::raise_open_files(wanted)
        .map_err(failed("raise the limit of open descriptors"))?;
    let text = "fewer descriptors may be open than all connections and operations need: raise `LimitNOFILE` or `ulimit -Hn`";
    match files {
        _ if files >= wanted => {}
        MIN_DESCRIPTORS.. => tracing::info!(files, wanted, "{text}"),
        _ => tracing::warn!(files, wanted, "{text}"),
    }
    let half = usize::try_from(files / 2).unwrap_or(usize::MAX);
    config.limits.driver_handles = config.limits.driver_handles.min(half);
    mica_sys::keep_capabilities(machine::needed_capabilities())
        .map_err(failed("drop capabilities"))?;
    mica_sys::forbid_new_privileges().map_err(failed("set no_new_privs"))
}

/// Descriptors that are open when every connection, every handle of every operation is.
fn wanted_files(config: &Config) -> u64 {
    let connections = LISTENERS.saturating_mul(config.api.connections) as u64;
    let connections = connections.saturating_mul(DESCRIPTORS_PER_CONNECTION);
    let handles = u64::from(config.limits.operations).saturating_mul(config.limits.handles as u64);
    OWN_DESCRIPTORS
        .saturating_add(connections)
        .saturating_add(handles)
}

/// What is in force, as the kernel says.
pub(super) fn view() -> Option<ConfinementView> {
    let has = mica_sys::privileges().ok()?;
    Some(ConfinementView {
        capabilities: machine::capability_names(has.effective),
        bounding: machine::capability_names(has.bounding),
        no_new_privs: has.no_new_privileges,
        landlock: false,
        open_files: has.open_files,
    })
}
