//! The parent: starts the child, maps its users, hands it the component, and hears what became of the cases.
//!
//! Invariant: the child does not outlive the call.

use crate::bench::{BenchReport, BenchRequest};
use crate::child::{Job, Mapped, Message, Work};
use crate::report::{CaseReport, Mismatch, Report, Request};
use mica_runtime::Program;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// The kernel gives this user no namespace to play in.
    #[error("this place has no user namespace to play in: {reason}")]
    NoNamespace {
        /// What the kernel said.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// The component cannot be loaded.
    #[error("driver rejected: {reason}")]
    Rejected {
        /// What is wrong with it.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// The driver says that it cannot work on the file system, or on this kernel.
    #[error("the driver cannot work here: {0}")]
    Unsupported(String),
    /// The child ended before it had played all cases.
    #[error("{}", ended(.0, .1.as_deref()))]
    Ended(String, Option<String>),
    /// A driver did not do what is measured.
    #[error("driver `{driver}` failed at `{operation}`: {}: expected {}, seen {}", mismatch.call, mismatch.expected, mismatch.seen)]
    Broken {
        /// The driver.
        driver: String,
        /// What was done.
        operation: String,
        /// What it did.
        mismatch: Box<Mismatch>,
    },
    /// Something else went wrong.
    #[error("play on the driver: {0}")]
    Failed(String),
    /// The machine said so.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn ended(how: &str, after: Option<&str>) -> String {
    match after {
        Some(case) => format!("the process that plays ended ({how}) after case `{case}`"),
        None => format!("the process that plays ended ({how}) before the first case"),
    }
}

fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> NoReport {
    move |source| NoReport::Io { doing, source }
}

/// Plays the cases that are wanted on a component; `heard` is told each as it ends. `program` is this one, started so that it
/// calls [`crate::play_child`].
///
/// # Errors
/// [`NoReport`]. A driver that fails cases is none.
pub fn play(
    program: &Program,
    component: &[u8],
    request: &Request,
    mut heard: impl FnMut(&CaseReport),
) -> Result<Report, NoReport> {
    let mut report: Option<Report> = None;
    let work = Work::Cases(request.clone());
    let ended = run(program, (component, &[]), work, |message| match message {
        Message::Begun(driver, place) => {
            report = Some(Report {
                driver,
                place,
                cases: Vec::new(),
            });
        }
        Message::Case(case) => {
            heard(&case);
            if let Some(report) = &mut report {
                report.cases.push(*case);
            }
        }
        _ => {}
    });
    let last = |report: &Option<Report>| {
        let last = report.as_ref().and_then(|report| report.cases.last());
        last.map(|case| case.case.name.clone())
    };
    match ended {
        Ok(status) => report.ok_or(NoReport::Ended(status.to_string(), None)),
        Err(NoReport::Ended(how, _)) => Err(NoReport::Ended(how, last(&report))),
        Err(other) => Err(other),
    }
}

/// Measures the operations of a component beside those of drivers that ship, with an archive or one that is made for it.
///
/// # Errors
/// [`NoReport`]; a driver that does not do what is measured is [`NoReport::Broken`].
pub fn bench(
    program: &Program,
    component: &[u8],
    archive: Option<&[u8]>,
    request: &BenchRequest,
) -> Result<BenchReport, NoReport> {
    let mut report = None;
    let work = Work::Bench(request.clone());
    let given = (component, archive.unwrap_or_default());
    let status = run(program, given, work, |message| {
        if let Message::Measured(measured) = message {
            report = Some(*measured);
        }
    })?;
    report.ok_or(NoReport::Ended(status.to_string(), None))
}

/// Runs a child to its end; `heard` is told what it says but for its last words.
fn run(
    program: &Program,
    given: (&[u8], &[u8]),
    work: Work,
    heard: impl FnMut(Message),
) -> Result<ExitStatus, NoReport> {
    let job = Job {
        parent: std::process::id(),
        work,
        component_bytes: given.0.len(),
    };
    let job = serde_json::to_string(&job).map_err(|error| NoReport::Failed(error.to_string()))?;
    let mut child = Command::new(&program.path)
        .args(&program.arguments)
        .arg(job)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(io_error("start the process that plays"))?;
    let ended = hear(&mut child, given, heard);
    if ended.is_err() {
        // It may wait for something that no one will say.
        let _gone = child.kill();
    }
    let status = child
        .wait()
        .map_err(io_error("wait for the process that plays"))?;
    match ended {
        Err(NoReport::Ended(..)) => Err(NoReport::Ended(status.to_string(), None)),
        ended => ended.map(|()| status),
    }
}

fn hear(
    child: &mut Child,
    given: (&[u8], &[u8]),
    mut heard: impl FnMut(Message),
) -> Result<(), NoReport> {
    let process = child.id();
    let mut stdin = child.stdin.take();
    let Some(stdout) = child.stdout.take() else {
        return Err(NoReport::Ended(String::new(), None));
    };
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(io_error("hear the process that plays"))?;
        let message = serde_json::from_str(&line);
        match message.map_err(|error| NoReport::Failed(format!("{error}: {line}")))? {
            Message::Entered => hand_over(process, stdin.take(), given)?,
            Message::NotEntered(reason) => return Err(no_namespace(reason)),
            Message::Done => return Ok(()),
            Message::Rejected(reason, remedy) => {
                return Err(NoReport::Rejected { reason, remedy });
            }
            Message::Unsupported(reason) => return Err(NoReport::Unsupported(reason)),
            Message::Failed(reason) => return Err(NoReport::Failed(reason)),
            Message::Broken {
                driver,
                operation,
                mismatch,
            } => {
                return Err(NoReport::Broken {
                    driver,
                    operation,
                    mismatch,
                });
            }
            other => heard(other),
        }
    }
    Err(NoReport::Ended(String::new(), None))
}

/// Maps the users of the child, and gives it the component.
fn hand_over(
    process: u32,
    stdin: Option<ChildStdin>,
    (component, archive): (&[u8], &[u8]),
) -> Result<(), NoReport> {
    let mapped = mica_sys::map_ids(process).map_err(|error| no_namespace(error.to_string()))?;
    let line = serde_json::to_string(&Mapped::from(mapped));
    let line = line.map_err(|error| NoReport::Failed(error.to_string()))?;
    let Some(mut stdin) = stdin else {
        return Err(NoReport::Failed("it entered twice".to_owned()));
    };
    let doing = "hand over the component";
    writeln!(stdin, "{line}").map_err(io_error(doing))?;
    stdin
        .write_all(component)
        .and_then(|()| stdin.write_all(archive))
        .map_err(io_error(doing))
}

/// Settings that keep users from having namespaces: where each is, the value that does, and what to do.
const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "sysctl user.max_user_namespaces=15000",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

fn no_namespace(reason: String) -> NoReport {
    let forbids = |(file, value, _): &&(&str, &str, &str)| {
        fs::read_to_string(file).is_ok_and(|text| text.trim() == *value)
    };
    let remedy = match SETTINGS.iter().find(forbids) {
        Some((_, _, command)) => format!("let users have namespaces: `{command}`"),
        None => "run it outside of the container, or let the container make user namespaces: its \
                 seccomp profile must allow `unshare` and `mount`"
            .to_owned(),
    };
    NoReport::NoNamespace { reason, remedy }
}
