//! Mica: layered-filesystem drivers as WebAssembly components.
//!
//! Invariant: only chooses what this process is: a child of the daemon, or the command line (`mica serve` is the daemon).

mod api;
mod children;
mod cli;
mod config;
mod daemon;
#[cfg(fuzzing)]
pub mod fuzzing;
mod machine;

use std::process::ExitCode;

/// The process's whole life.
#[must_use]
pub fn run() -> ExitCode {
    children::run().unwrap_or_else(cli::run)
}
