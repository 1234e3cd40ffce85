//! Signals that ask a process to end.
//!
//! Invariant: they are waited for by a thread, so what is done then may do anything.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{getppid, set_parent_process_death_signal};

/// Calls `ending` on a thread of its own when this process is sent SIGINT, SIGTERM or SIGHUP, or when the thread that started it
/// ends. `parent` is the number of the process that should have started it. To be called while this process has one thread:
/// those that it starts later do not take the signals.
///
/// # Errors
/// ESRCH when that process has ended already, and what the kernel says of threads.
pub fn when_asked_to_end(parent: u32, ending: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if signals.wait().is_ok() {
                ending();
            }
        })?;
    set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    // A parent that ended before the call sends no signal.
    let found = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    match found == Some(parent) {
        true => Ok(()),
        false => Err(io::Error::from(rustix::io::Errno::SRCH)),
    }
}
