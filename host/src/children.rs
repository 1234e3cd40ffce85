//! What this program is when it starts itself: the process that checks and compiles components, the one that decompresses, or
//! the one that plays cases on a driver in namespaces of its own.
//!
//! Invariant: a child gets what it works on and gives its answer through standard input and output; those that read strangers'
//! bytes open nothing.

use mica_runtime::{Program, compile_child};
use mica_zstd::inflate_child;
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The words that make this program a child; no command is called so.
const COMPILE: &str = "compile-component";
const INFLATE: &str = "inflate-zstd";
const PLAY: &str = "play-cases";

/// How the sandbox starts the compiler.
pub(crate) fn compiler() -> Program {
    this_program(COMPILE)
}

/// How the decompressor is started.
pub(crate) fn inflater() -> Program {
    this_program(INFLATE)
}

/// How the process is started that plays cases on a driver.
pub(crate) fn player() -> Program {
    this_program(PLAY)
}

fn play(job: &str) -> Result<(), String> {
    mica_kit::play_child(job, compiler())
}

/// This very program, also after its file was replaced.
fn this_program(word: &str) -> Program {
    Program {
        path: PathBuf::from("/proc/self/exe"),
        arguments: vec![word.to_owned()],
    }
}

/// The child's life, if this process is one.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    let work = if word == OsStr::new(COMPILE) {
        compile_child
    } else if word == OsStr::new(INFLATE) {
        inflate_child
    } else if word == OsStr::new(PLAY) {
        play
    } else {
        return None;
    };
    let job = arguments.next().and_then(|job| job.into_string().ok());
    let done = job.ok_or_else(|| "no job".to_owned());
    // Whoever started it sees the code, and the compiler's sees that there is no answer.
    Some(match done.and_then(|job| work(&job)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _gone = std::io::stderr().write_all(reason.as_bytes());
            ExitCode::FAILURE
        }
    })
}
