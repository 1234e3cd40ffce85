//! `mica driver test`.
//!
//! Invariant: needs no daemon and no root; a case that was not played is told with the reason.

use std::path::PathBuf;

use mica_kit::{CaseReport, CaseView, NoReport, Report, Request, Verdict};
use mica_runtime::Grant;
use serde_json::json;

use super::read;
use crate::children;
use crate::cli::store;
use mica_client::progress::count_bar;
use mica_client::{Column, Failure, Printer, pairs, table, words};

pub(super) const EXAMPLES: &str = "\
Each case is a history of layers, an archive, or a question about the contract. They are played in a user namespace of
their own, on a file system in memory, with the limits that a daemon has by default. What such a place cannot play is
left out, and told: device nodes, and owners other than one unless root runs it. Ends with 1 if a case failed.

Examples:
  mica driver test hello_driver.wasm
  mica driver test hello_driver.wasm --case restart --case odd-ids
  mica driver test snapshots.wasm --grant btrfs --directory /mnt/btrfs
  mica driver test --list                                  names the cases, with what each is about
  mica --output json driver test hello_driver.wasm";

/// Failing cases that the error names.
const NAMED: usize = 8;

/// Arguments of `mica driver test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArguments {
    /// The component
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// Only cases whose names contain this; may be given more than once
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Name the cases instead of playing them
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    trial: Trial,
}

/// What a driver has that is tried without a daemon.
#[derive(Debug, clap::Args)]
pub(super) struct Trial {
    /// A grant that its daemon has for it, beside the standard ones; may be given more than once
    #[arg(long, value_name = "GRANT")]
    grant: Vec<Grant>,
    /// An option of its store; may be given more than once
    #[arg(long = "opt", value_name = "KEY=VALUE", value_parser = store::key_value)]
    pub(super) options: Vec<(String, String)>,
    /// Work on the file system of this directory instead of one in memory
    #[arg(long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

impl Trial {
    /// The names of the grants.
    pub(super) fn grants(&self) -> Vec<String> {
        let names = self.grant.iter().map(|grant| grant.name().to_owned());
        names.collect()
    }
}

/// Plays the cases, prints what became of each, and fails if one failed.
pub(super) fn run(printer: &Printer, arguments: TestArguments) -> Result<(), Failure> {
    let TestArguments {
        file,
        case,
        list,
        trial,
    } = arguments;
    let wanted = mica_kit::list(&case);
    if wanted.is_empty() {
        return Err(Failure::Usage {
            what: format!("no case has `{}` in its name", case.join("`, `")),
            remedy: "name the cases with `mica driver test --list`",
        });
    }
    let Some(file) = file.filter(|_| !list) else {
        return printer.result(&json!({ "cases": wanted }), || names(&wanted));
    };
    let request = Request {
        grants: trial.grants(),
        options: store::options(trial.options)?.0,
        only: case,
        directory: trial.directory,
    };
    let component = read(&file)?;
    let bar = count_bar("play cases".to_owned(), Some(wanted.len() as u64));
    let report = mica_kit::play(&children::player(), &component, &request, |_| bar.inc(1));
    bar.finish_and_clear();
    let report = report.map_err(refused)?;
    let (passed, failed, left_out) = report.counts();
    let document = json!({
        "driver": report.driver,
        "place": report.place,
        "passed": passed,
        "failed": failed,
        "left_out": left_out,
        "cases": report.cases,
    });
    printer.result(&document, || render(&report))?;
    match failed {
        0 => Ok(()),
        _ => Err(failure(&report, failed)),
    }
}

fn failure(report: &Report, failed: usize) -> Failure {
    let cases = report.cases.iter();
    let names = cases.filter(|case| matches!(case.verdict, Verdict::Failed { .. }));
    let names: Vec<_> = names.map(|case| case.case.name.as_str()).collect();
    let named = names.get(..NAMED).map_or_else(
        || names.join(", "),
        |first| format!("{} and others", first.join(", ")),
    );
    let all = report.cases.len();
    Failure::Untrue {
        what: format!("{failed} of {all} cases failed: {named}"),
        remedy: Some(
            "play one alone with --case NAME; what it asks for is in `wit/README.md`".to_owned(),
        ),
    }
}

/// Why there is no report, as a failure of the command.
pub(super) fn refused(error: NoReport) -> Failure {
    let what = error.to_string();
    match error {
        NoReport::Rejected { remedy, .. } => Failure::Rejected { what, remedy },
        NoReport::NoNamespace { remedy, .. } => Failure::NotSupported { what, remedy },
        NoReport::Unsupported(_) => Failure::NotSupported {
            what,
            remedy: "name a directory on a file system that it works on with --directory"
                .to_owned(),
        },
        NoReport::Io { doing, source } => Failure::Io {
            doing: doing.to_owned(),
            source,
        },
        NoReport::Broken { .. } => Failure::Untrue {
            what,
            remedy: Some("`mica driver test` tells what it does otherwise".to_owned()),
        },
        NoReport::Ended(..) | NoReport::Failed(_) => Failure::Untrue { what, remedy: None },
    }
}

fn names(cases: &[CaseView]) -> String {
    let columns = [
        Column::Text("case"),
        Column::Text("group"),
        Column::Text("about"),
    ];
    let row = |case: &CaseView| vec![case.name.clone(), case.group.clone(), case.about.clone()];
    table(&columns, cases.iter().map(row).collect())
}

fn render(report: &Report) -> String {
    let columns = [
        Column::Text("case"),
        Column::Text("group"),
        Column::Text("verdict"),
        Column::Number("ms"),
        Column::Text("why"),
    ];
    let row = |case: &CaseReport| {
        let (verdict, why) = match &case.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Failed { mismatch } => ("FAILED", mismatch.call.as_str()),
            Verdict::LeftOut { reason } => ("left out", reason.as_str()),
        };
        vec![
            case.case.name.clone(),
            case.case.group.clone(),
            verdict.to_owned(),
            case.milliseconds.to_string(),
            why.to_owned(),
        ]
    };
    let mut text = table(&columns, report.cases.iter().map(row).collect());
    text.push('\n');
    for case in &report.cases {
        if let Some(told) = told(case) {
            text.push_str(&told);
        }
    }
    let (passed, failed, left_out) = report.counts();
    let (driver, place) = (&report.driver, &report.place);
    text.push('\n');
    text.push_str(&pairs([
        ("driver", format!("{} {}", driver.name, driver.version)),
        ("digest", words::short_digest(&driver.digest)),
        (
            "place",
            format!("{}, owners: {}", place.filesystem, place.owners),
        ),
        ("passed", passed.to_string()),
        ("failed", failed.to_string()),
        ("left out", left_out.to_string()),
    ]));
    text
}

/// What a failing case expected and saw.
fn told(case: &CaseReport) -> Option<String> {
    let Verdict::Failed { mismatch } = &case.verdict else {
        return None;
    };
    let mut text = format!("\n{}: {}\n", case.case.name, case.case.about);
    let mut part = |name: &str, lines: &str| {
        for (number, line) in lines.lines().enumerate() {
            let name = if number == 0 { name } else { "" };
            text.push_str(&format!("  {name:10}{line}\n"));
        }
    };
    part("call", &mismatch.call);
    part("layer", mismatch.layer.as_deref().unwrap_or("-"));
    part("expected", &mismatch.expected);
    part("seen", &mismatch.seen);
    part("said", &words::lines(&case.said));
    Some(text)
}
