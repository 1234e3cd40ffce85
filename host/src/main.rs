//! Mica: layered-filesystem drivers as WebAssembly components.
//!
//! Invariant: only chooses what this process is: the compiler's child, or the command line (`mica serve` is the
//! daemon).

mod api;
mod cli;
mod config;
mod daemon;
mod executor;
mod machine;

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::compiler::run_child().unwrap_or_else(cli::run)
}
