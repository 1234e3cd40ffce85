//! The process that compiles components: this program again, with limits on memory and time.
//!
//! Invariant: the child opens nothing, gets a component on standard input and gives code on standard output.

use super::Error;
use mica_engine::Limits;
use mica_runtime::{Compiler, compile_child};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// The word that makes this program the compiler; no command is called so.
const WORD: &str = "compile-component";

/// How the sandbox starts the child.
pub(super) fn child(limits: &Limits) -> Result<Compiler, Error> {
    let limits =
        serde_json::to_string(limits).map_err(|error| Error::Sandbox(error.to_string()))?;
    Ok(Compiler::Child {
        // This very program, also after its file was replaced.
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec![WORD.to_owned(), limits],
    })
}

/// The child's life, if this process is one.
pub(crate) fn run_child() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let arguments: Option<Vec<String>> = arguments
        .map(|argument| argument.into_string().ok())
        .collect();
    let result = match arguments.as_deref() {
        Some([limits, memory, seconds]) => compile(limits, memory, seconds),
        _ => Err("wrong arguments".to_owned()),
    };
    let Err(reason) = result else {
        return Some(ExitCode::SUCCESS);
    };
    // Whoever started it reads this; if no one does, no one is to be told.
    let _told = std::io::stderr().write_all(reason.as_bytes());
    Some(ExitCode::FAILURE)
}

fn compile(limits: &str, memory: &str, seconds: &str) -> Result<(), String> {
    mica_sys::close_extra_fds().map_err(|error| error.to_string())?;
    let limits: Limits = serde_json::from_str(limits).map_err(|error| error.to_string())?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    compile_child(&limits, number(memory)?, number(seconds)?)
}
