//! Mica: layered-filesystem drivers as WebAssembly components.
//!
//! Invariant: only chooses what this process is: the compiler's child, or the command line (`mica serve` is the
//! daemon).

mod api;
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
    daemon::compiler::run_child().unwrap_or_else(cli::run)
}
