//! `mica driver replay`.
//!
//! Invariant: needs no daemon and no root, and touches no file but the two that are named.

use super::read;
use crate::daemon;
use mica_client::{Failure, Printer, pairs, words};
use mica_runtime::{BadTrace, Error, ReplayReport, ReplayVerdict, TraceFile, digest_of};
use serde_json::json;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a file: more than the largest `trace_bytes` and a component of the largest size that the default limits let in.
const MOST_BYTES: u64 = 512 << 20;

pub(super) const EXAMPLES: &str = "\
The component runs as it runs in a daemon with the default limits, but that each host call is answered from the trace, so it
needs no store. Ends with 0 if the driver makes the same host calls and comes to the same end, also if that is an error; with 1 if
it goes another way, and tells from which call on; with 6 if the file is no trace of this contract.

Examples:
  mica driver trace overlay 5f0c2b9e1d3a4c77 -o failed.trace
  mica driver replay failed.trace                                 the same again
  mica driver replay failed.trace --component overlay-1.1.wasm    does the new build do better?
  mica --output json driver replay failed.trace";

/// Arguments of `mica driver replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArguments {
    /// The trace
    file: PathBuf,
    /// Run this component instead of the one that was recorded
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

/// Runs the operation of a trace again, and tells how it compares.
pub(super) fn run(printer: &Printer, arguments: &ReplayArguments) -> Result<(), Failure> {
    let ReplayArguments { file, component } = arguments;
    let bad = |error: &BadTrace| Failure::Archive {
        what: format!("`{}`: {error}", file.display()),
        remedy: Some("export it again, with `mica driver trace NAME REQUEST -o FILE`".to_owned()),
    };
    let trace = TraceFile::read(&read_trace(file)?).map_err(|error| bad(&error))?;
    if let Some(obstacle) = trace.trace.obstacle() {
        return Err(Failure::Archive {
            what: format!("`{}` cannot be replayed: {obstacle}", file.display()),
            remedy: remedy_of(&obstacle),
        });
    }
    let bytes = component_of(file, component.as_deref(), &trace)?;
    let (report, said) = daemon::replay(&bytes, &trace.trace).map_err(refused)?;
    let digest = digest_of(&bytes);
    let document = json!({
        "report": report,
        "said": said,
        "component": digest,
        "recorded": trace.facts,
        "question": trace.trace.question,
    });
    printer.result(&document, || render(&report, &trace, &digest, &said))?;
    match report.verdict {
        ReplayVerdict::Same => Ok(()),
        ReplayVerdict::OtherCall => Err(Failure::Untrue {
            what: format!("it goes another way at host call {}", report.same_calls + 1),
            remedy: None,
        }),
        ReplayVerdict::OtherEnd => Err(Failure::Untrue {
            what: format!(
                "it comes to another end after the same {} host calls",
                report.same_calls
            ),
            remedy: None,
        }),
    }
}

/// What helps a trace that does not have all of an operation. Nothing makes more of a clock.
fn remedy_of(obstacle: &str) -> Option<String> {
    let limits = ["driver_trace_bytes", "trace_bytes"];
    let limit = limits
        .into_iter()
        .find(|limit| obstacle.contains(&format!("`{limit}`")))?;
    Some(format!(
        "raise `{limit}` below `limits` in the configuration, and record it again"
    ))
}

/// The file of a trace, which may be a stranger's: no more of it is read than a trace can have.
fn read_trace(path: &Path) -> Result<Vec<u8>, Failure> {
    let doing = || Failure::io(format!("read `{}`", path.display()));
    let file = File::open(path).map_err(doing())?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(doing())?;
    match bytes.len() as u64 <= MOST_BYTES {
        true => Ok(bytes),
        false => Err(Failure::Archive {
            what: format!(
                "`{}`: it has more than {MOST_BYTES} bytes, and no trace has",
                path.display()
            ),
            remedy: None,
        }),
    }
}

/// The component that is to run.
fn component_of(file: &Path, other: Option<&Path>, trace: &TraceFile) -> Result<Vec<u8>, Failure> {
    if let Some(other) = other {
        return read(other);
    }
    let told = words::safe(&trace.facts.digest);
    match &trace.component {
        Some(component) if digest_of(component) == told => Ok(component.clone()),
        Some(component) => Err(Failure::Archive {
            what: format!(
                "`{}` tells of the component {told}, and has {}",
                file.display(),
                digest_of(component)
            ),
            remedy: None,
        }),
        None => Err(Failure::Usage {
            what: format!("`{}` has no component in it; {told} ran", file.display()),
            remedy: "name that component with --component",
        }),
    }
}

fn refused(error: Error) -> Failure {
    match error {
        Error::Rejected { reason, remedy } => Failure::Rejected {
            what: format!("driver rejected: {reason}"),
            remedy: remedy.to_string(),
        },
        other => Failure::Untrue {
            what: other.to_string(),
            remedy: None,
        },
    }
}

fn render(report: &ReplayReport, trace: &TraceFile, digest: &str, said: &[String]) -> String {
    let facts = &trace.facts;
    let (recorded, replayed) = (report.recorded.to_string(), report.replayed.to_string());
    let mut lines = vec![
        ("function", trace.trace.question.function().to_owned()),
        (
            "recorded",
            words::safe(&format!("{} {}", facts.driver, facts.digest)),
        ),
    ];
    if digest != facts.digest {
        lines.push(("replayed", digest.to_owned()));
    }
    let calls = format!("{} of {}", report.same_calls, report.recorded_calls);
    lines.push(("same calls", calls));
    match report.verdict {
        ReplayVerdict::Same => {
            lines.push(("verdict", "the same calls and the same end".to_owned()));
            lines.push(("end", recorded));
        }
        ReplayVerdict::OtherCall => {
            let number = report.same_calls + 1;
            lines.push(("verdict", format!("another way from call {number} on")));
            lines.push(("expected", recorded));
            lines.push(("got", replayed));
        }
        ReplayVerdict::OtherEnd => {
            lines.push(("verdict", "the same calls and another end".to_owned()));
            lines.push(("expected", recorded));
            lines.push(("got", replayed));
        }
    }
    lines.extend(said.iter().map(|line| ("said", line.clone())));
    pairs(lines)
}
