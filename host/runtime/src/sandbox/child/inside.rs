//! The life of the compiler process.
//!
//! Invariant: before the first byte of a component is read, everything is given away that is not needed for computing.

use super::answer::{Header, Outcome, encode};
use super::{Job, Task};
use crate::sandbox::prepare::{Prepared, prepare};
use crate::sandbox::{admission, engine};
use crate::{Error, SafeText};
use mica_sys::{ProcessLimits, confine};
use std::any::Any;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does a job: confines this process, reads a component from standard input, writes the answer to standard output. Only for
/// a process that was started for this and has one thread.
///
/// # Errors
/// What made an answer impossible. Whoever started the process sees that it has ended without one.
pub fn compile_child(job: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let job: Job = serde_json::from_str(job).map_err(|error| error.to_string())?;
    let mut lacks = Vec::new();
    if let Err(error) = mica_sys::close_extra_fds() {
        lacks.push(format!("closed descriptors: {error}"));
    }
    confine::end_with_parent(job.parent).map_err(text)?;
    // What makes code and what checks it are made before anything is given away; neither depends on the component.
    let engine =
        engine::for_compilation(&job.limits, job.allocation).map_err(|error| error.to_string())?;
    // A panic is told in the answer.
    std::panic::set_hook(Box::new(|_| {}));
    let given = confine::give_away(ProcessLimits {
        address_space: job.limits.compile_memory_bytes,
        cpu_seconds: job.limits.compile_seconds,
    });
    lacks.extend(given.map_err(text)?.iter().map(ToString::to_string));
    let (outcome, code) = match job.task {
        Task::Probe => (Outcome::Probed, Vec::new()),
        Task::Prepare => {
            let bytes = component(&job).map_err(text)?;
            outcome(|| prepare(&engine, &bytes, &job.limits, &job.grants))
        }
        Task::Inspect => {
            let bytes = component(&job).map_err(text)?;
            outcome(|| {
                let facts = admission::check(&bytes, &job.limits)?;
                let code = Vec::new();
                Ok(Prepared { facts, code })
            })
        }
    };
    let answer = encode(&Header { lacks, outcome }, &code).map_err(|error| error.to_string())?;
    io::stdout().lock().write_all(&answer).map_err(text)
}

/// The component, from standard input: no more of it than shows that it is too large.
fn component(job: &Job) -> io::Result<Vec<u8>> {
    let most = (job.limits.component_bytes as u64).saturating_add(1);
    let mut bytes = Vec::new();
    io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What came of a component, whatever its checks end with.
fn outcome(prepare: impl FnOnce() -> Result<Prepared, Error>) -> (Outcome, Vec<u8>) {
    match catch_unwind(AssertUnwindSafe(prepare)) {
        Ok(Ok(Prepared { facts, code })) => (Outcome::Accepted(facts), code),
        Ok(Err(Error::Rejected { reason, remedy })) => rejected(reason, remedy),
        Ok(Err(Error::NotGranted { reason, remedy })) => {
            let (reason, remedy) = (reason.into(), remedy.into());
            (Outcome::NotGranted { reason, remedy }, Vec::new())
        }
        Ok(Err(other)) => rejected(other.to_string().into(), REPORT.into()),
        Err(panic) => rejected(broke(&*panic), REPORT.into()),
    }
}

const REPORT: &str =
    "build it anew with current tools; if that does not help, report it with the component";

fn rejected(reason: SafeText, remedy: SafeText) -> (Outcome, Vec<u8>) {
    let (reason, remedy) = (reason.into(), remedy.into());
    (Outcome::Rejected { reason, remedy }, Vec::new())
}

/// A library met something that its authors held impossible.
fn broke(panic: &(dyn Any + Send)) -> SafeText {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "the compiler broke on it: {}",
        said.unwrap_or("it did not say why")
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_panics_is_a_component_that_is_rejected() {
        let panics: [fn() -> Result<Prepared, Error>; 2] = [
            || panic!("index out of bounds\n\u{1b}[31m"),
            || std::panic::panic_any(7),
        ];
        for (panic, told) in panics.into_iter().zip([
            r"the compiler broke on it: index out of bounds\n\u{1b}[31m",
            "the compiler broke on it: it did not say why",
        ]) {
            let (Outcome::Rejected { reason, remedy }, code) = outcome(panic) else {
                panic!("it is not rejected")
            };
            assert_eq!((reason.as_str(), remedy.as_str()), (told, REPORT));
            assert!(code.is_empty());
        }
    }
}
