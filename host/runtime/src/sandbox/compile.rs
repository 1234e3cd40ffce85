//! Component bytes to machine code.
//!
//! A component can be made to take the compiler gigabytes and minutes, which wasmtime does not count as a defect. So
//! a child process with limits on memory and time compiles what comes from outside: bytes in, code out.
//!
//! Invariant: the child gets the component on its standard input and no other input.

use super::{Compiler, engine};
use crate::{Error, Limits};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use wasmtime::Engine;

/// Compiles with the engine's settings.
pub(super) fn compile(
    engine: &Engine,
    how: &Compiler,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    match how {
        Compiler::InProcess => engine
            .precompile_component(bytes)
            .map_err(|error| refused(&format!("{error:#}"))),
        Compiler::Child { program, arguments } => in_child(program, arguments, bytes, limits),
    }
}

fn refused(detail: &str) -> Error {
    Error::rejected(
        format!("it does not compile: {detail}"),
        "build it with `cargo build --release --target wasm32-wasip2` and without proposals beyond the component model",
    )
}

fn in_child(
    program: &Path,
    arguments: &[String],
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let failed = |error: io::Error| Error::Runtime(format!("run the compiler process: {error}"));
    let mut child = Command::new(program)
        .args(arguments)
        .arg(limits.compile_memory_bytes.to_string())
        .arg(limits.compile_seconds.to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // A child that ends early closes the pipe; its own message says why.
        scope.spawn(move || input.map(|mut input| input.write_all(bytes)));
        child.wait_with_output()
    })
    .map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if detail.is_empty() {
        detail = format!(
            "the compiler took more than {} bytes of memory or {} s: {}",
            limits.compile_memory_bytes, limits.compile_seconds, output.status
        );
    }
    crate::capability::truncate(&mut detail, 2048);
    Err(refused(&detail))
}

/// The child's whole life: sets its limits, reads a component from standard input, writes code to standard output.
///
/// # Errors
/// What made it impossible, as text for standard error.
pub fn compile_child(limits: &Limits, memory_bytes: u64, seconds: u64) -> Result<(), String> {
    mica_sys::set_resource_limits(memory_bytes, seconds).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let most = limits.component_bytes as u64 * 2;
    io::stdin()
        .lock()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    let engine = engine::for_compilation(limits).map_err(|error| error.to_string())?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|error| format!("{error:#}"))?;
    io::stdout()
        .lock()
        .write_all(&code)
        .map_err(|error| error.to_string())
}
