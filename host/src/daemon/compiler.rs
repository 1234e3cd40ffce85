//! The process that checks and compiles components: this program again, confined.
//!
//! Invariant: the child opens nothing, gets a component on standard input and gives its answer on standard output.

use mica_runtime::{Program, compile_child};
use std::path::PathBuf;
use std::process::ExitCode;

/// The word that makes this program the compiler; no command is called so.
const WORD: &str = "compile-component";

/// How the sandbox starts the child.
pub(crate) fn program() -> Program {
    Program {
        // This very program, also after its file was replaced.
        path: PathBuf::from("/proc/self/exe"),
        arguments: vec![WORD.to_owned()],
    }
}

/// The child's life, if this process is one.
pub(crate) fn run_child() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let job = arguments.next().and_then(|job| job.into_string().ok());
    let done = job.is_some_and(|job| compile_child(&job).is_ok());
    // Whoever started it sees the code, and that there is no answer.
    Some(if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
