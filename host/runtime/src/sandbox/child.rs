//! The process that checks and compiles components, seen from this one.
//!
//! A component can be made to take the compiler gigabytes and minutes, which wasmtime does not count as a defect, and there
//! is no promise that a library which parses or composes components never panics. So what comes from outside is parsed by a
//! child process that has limits on memory and time and has given away everything else: see `inside`. The bytes go in as a
//! sealed file in memory, the answer comes back through a pipe, and its length is bounded.
//!
//! Invariant: no child outlives the call that started it, whether that ends with an answer, a cancelled operation, a panic,
//! or the end of this process.

mod answer;
mod inside;

pub(super) use answer::{Damaged, Header, Outcome, decode, encode};
pub use inside::compile_child;

use super::admission::ComponentFacts;
use super::engine::Allocation;
use super::prepare::Prepared;
use crate::{CancelToken, Error, Grants, Limits};
use mica_sys::{ChildProcess, Ending, Program};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// How often a wait looks whether its operation was cancelled.
const CANCEL_POLL_PERIOD: Duration = Duration::from_millis(50);
/// Bytes that one read takes out of the pipe.
const READ_BYTES: usize = 64 << 10;

/// What a child has to do.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    task: Task,
    limits: Limits,
    grants: Grants,
    allocation: Allocation,
    /// The process that starts it.
    parent: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Task {
    Prepare,
    /// The checks that come before compiling, and nothing else.
    Inspect,
    Probe,
}

/// Starts compilers, a few at a time.
#[derive(Debug)]
pub(super) struct Compilers {
    program: Program,
    free: Mutex<u32>,
    freed: Condvar,
}

/// The right to have a child.
struct Place<'a>(&'a Compilers);

impl Compilers {
    pub(super) fn new(program: Program, limits: &Limits) -> Self {
        Self {
            program,
            // Without any, nothing could ever be loaded.
            free: Mutex::new(limits.compile_processes.max(1)),
            freed: Condvar::new(),
        }
    }

    /// What is started.
    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// Has a component checked and compiled.
    pub(super) fn prepare(
        &self,
        bytes: &[u8],
        limits: &Limits,
        grants: &Grants,
        allocation: Allocation,
        cancel: &CancelToken,
    ) -> Result<Prepared, Error> {
        let job = Job {
            task: Task::Prepare,
            limits: limits.clone(),
            grants: grants.clone(),
            allocation,
            parent: std::process::id(),
        };
        let _place = self.enter(cancel)?;
        let answer = ask(&self.program, &job, bytes, cancel)?;
        let (header, code) = decode(&answer).map_err(|Damaged| odd())?;
        if !header.lacks.is_empty() {
            let lacks = header.lacks.join("; ");
            tracing::warn!(
                "a component was compiled with less than all around the compiler: {lacks}"
            );
        }
        match header.outcome {
            Outcome::Accepted(facts) => Ok(Prepared {
                facts,
                code: code.to_vec(),
            }),
            refused => Err(refusal(refused)),
        }
    }

    /// What a child could not give away.
    pub(super) fn probe(&self, limits: &Limits) -> Result<Vec<String>, Error> {
        probe_compiler(&self.program, limits)
    }

    /// Waits for its turn, as long as the operation does.
    fn enter(&self, cancel: &CancelToken) -> Result<Place<'_>, Error> {
        let mut free = self.free.lock();
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(left) = free.checked_sub(1) {
                *free = left;
                return Ok(Place(self));
            }
            self.freed.wait_for(&mut free, CANCEL_POLL_PERIOD);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

/// Starts a child without a component and gives back what it could not give away, each with the reason: what this machine
/// does not offer, or this process may not do.
///
/// # Errors
/// [`Error::Runtime`] when no child can be started.
pub fn probe_compiler(program: &Program, limits: &Limits) -> Result<Vec<String>, Error> {
    let job = Job {
        task: Task::Probe,
        limits: limits.clone(),
        grants: Grants::standard(),
        allocation: Allocation::OnDemand,
        parent: std::process::id(),
    };
    let answer = ask(program, &job, &[], &CancelToken::default())?;
    decode(&answer)
        .map(|(header, _)| header.lacks)
        .map_err(|Damaged| odd())
}

/// What a component says of itself, found by a child that does not compile it.
pub(super) fn inspect(
    program: &Program,
    bytes: &[u8],
    limits: &Limits,
) -> Result<ComponentFacts, Error> {
    let job = Job {
        task: Task::Inspect,
        limits: limits.clone(),
        grants: Grants::standard(),
        allocation: Allocation::OnDemand,
        parent: std::process::id(),
    };
    let answer = ask(program, &job, bytes, &CancelToken::default())?;
    let (header, _) = decode(&answer).map_err(|Damaged| odd())?;
    match header.outcome {
        Outcome::Accepted(facts) => Ok(facts),
        refused => Err(refusal(refused)),
    }
}

/// Why there is no component.
fn refusal(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Rejected { reason, remedy } => Error::rejected(reason, remedy),
        Outcome::NotGranted { reason, remedy } => Error::NotGranted {
            reason: reason.into(),
            remedy: remedy.into(),
        },
        Outcome::Accepted(_) | Outcome::Probed => odd(),
    }
}

fn odd() -> Error {
    Error::Runtime("the compiler process gave an odd answer".into())
}

fn failed(error: &io::Error) -> Error {
    Error::runtime("run the compiler process", error)
}

/// Starts a child, and gives back all that it wrote.
fn ask(program: &Program, job: &Job, bytes: &[u8], cancel: &CancelToken) -> Result<Vec<u8>, Error> {
    let limits = &job.limits;
    let mut compiler = Running::start(program, job, bytes).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + Duration::from_secs(limits.compile_wait_seconds);
    let most = limits.compiled_bytes.saturating_add(answer::HEADER_BYTES);
    let mut answer = Vec::new();
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if Instant::now() > deadline {
            let seconds = limits.compile_wait_seconds;
            return Err(Error::rejected(
                format!("the compiler did not answer for {seconds} s"),
                "build it smaller, or raise `compile_wait_seconds`",
            ));
        }
        match compiler.read(&mut answer) {
            Ok(Some(0)) if !answer.is_empty() => return Ok(answer),
            Ok(Some(0)) => return Err(ended(compiler.child.end(), limits)),
            Ok(_) if answer.len() > most => return Err(odd()),
            Ok(_) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// A child that runs.
struct Running {
    child: ChildProcess,
    output: ChildStdout,
}

impl Running {
    /// The thread that starts it must wait for it: the child ends with that thread.
    fn start(program: &Program, job: &Job, bytes: &[u8]) -> io::Result<Self> {
        let component = mica_sys::sealed_copy("mica-component", bytes)?;
        let threads = job.limits.compile_threads.max(1).to_string();
        let mut child = program.start(&serde_json::to_string(job)?, |command| {
            // wasmtime compiles with rayon, which would start a thread for each processor.
            let command = command.env("RAYON_NUM_THREADS", threads).stdin(component);
            command.stdout(Stdio::piped()).stderr(Stdio::null());
        })?;
        let output = child.output()?;
        Ok(Self { child, output })
    }

    /// Waits a moment for more of the answer; `Some(0)` at its end.
    #[expect(
        clippy::indexing_slicing,
        reason = "a read fills no more than the buffer"
    )]
    fn read(&mut self, answer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        if !mica_sys::wait_for_input(self.output.as_fd(), CANCEL_POLL_PERIOD)? {
            return Ok(None);
        }
        let mut piece = [0; READ_BYTES];
        let read = self.output.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        Ok(Some(read))
    }
}

/// Why a component is refused whose compiler ended without an answer.
fn ended(ending: Option<Ending>, limits: &Limits) -> Error {
    let smaller = |setting: &str| format!("build it smaller, or raise `{setting}`");
    let (reason, remedy) = match ending {
        Some(Ending::OutOfTime) => {
            let reason = format!("the compiler took more than {} s", limits.compile_seconds);
            (reason, smaller("compile_seconds"))
        }
        Some(Ending::Aborted) => {
            let most = limits.compile_memory_bytes;
            let reason =
                format!("the compiler took more than {most} bytes of memory, or of its stack");
            (reason, smaller("compile_memory_bytes"))
        }
        Some(Ending::Crashed) => (
            "it made the compiler crash".to_owned(),
            "build it anew with current tools".to_owned(),
        ),
        Some(Ending::Code(_) | Ending::Signal(_)) | None => {
            let how = match ending {
                Some(Ending::Code(code)) => format!("with code {code}"),
                Some(Ending::Signal(signal)) => format!("by signal {signal}"),
                _ => "and does not end".to_owned(),
            };
            let text = format!("the compiler process stopped without an answer, {how}");
            return Error::Runtime(text.into());
        }
    };
    Error::rejected(reason, remedy)
}
