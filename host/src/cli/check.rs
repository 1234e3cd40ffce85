//! `mica check` and `mica repair`.
//!
//! Invariant: needs no daemon; what is wrong and what is done about it, the engine says.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mica_engine::{
    CheckReport, CheckRequest, Error, Finding, Outcome, Repair, RepairMode, Severity, Thoroughness,
};
use mica_text::with_causes;
use serde_json::json;

use super::waiting;
use crate::config::{Config, Flags};
use mica_client::progress::tell_bytes;
use mica_client::{Exit, Failure, Printer, pairs};

/// What `mica check --help` ends with.
const CHECK_HELP: &str = "\
Compares rows, records, layers, parents, snapshots, mounts, kept builds and compiled code, and
reads each index of a sealed layer. Each finding has a kind, which is stable, and a severity:
  note     something was left half done, and nothing is lost: a start puts it right as well
  damage   something is damaged, and what it said is known from elsewhere
  loss     something is lost, or cannot be served

It reads only, and no daemon waits for it. While a daemon runs, what it is doing just now is left
out, and the rest is looked at twice before it is told. --content compares the files of layers with
their digests, where a daemon has taken some (`mica scrub`). With --store, that store alone is
looked at. Ends with 9 if anything was found.

Examples:
  mica check
  mica check --config /etc/mica/mica.toml
  mica check --root /mnt/disk/mica --run-dir /run/mica-disk --content
  mica --output json check --store default | jq '.findings[].kind'";

/// What `mica repair --help` ends with.
const REPAIR_HELP: &str = "\
Does what `mica check` says of each finding, while no daemon runs. Nothing is deleted but what is
known to be of no use to anyone: what was never whole, what someone asked to remove, compiled code
that can be made again. What nobody can explain goes to ROOT/set-aside/<n>, with a `note.json`
that says what it was and where. With --store, that store alone is repaired. Ends with 9 if
something is left that only a person can put right.

Examples:
  systemctl stop mica && mica repair --config /etc/mica/mica.toml --dry-run
  mica repair --store default";

/// Where a daemon keeps what it has.
#[derive(Debug, clap::Args)]
struct Place {
    /// The daemon's configuration file: its directories and limits count here, too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where stores and drivers are kept [default: /var/lib/mica]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where mounts are [default: /run/mica]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Read the files of layers and the archives of sealed ones, and compare their digests as well
    #[arg(long)]
    content: bool,
}

/// Arguments of `mica check`.
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_HELP)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    place: Place,
}

/// Arguments of `mica repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = REPAIR_HELP)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    place: Place,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Place {
    fn request(self, store: Option<&str>) -> Result<CheckRequest, Failure> {
        if self.config.is_none() && self.root.is_some() && self.run_dir.is_none() {
            // The usual one may be another root's, whose mounts nobody of this one knows.
            return Err(Failure::Usage {
                what: "where the mounts of that root are is not said".to_owned(),
                remedy: "name its run directory with --run-dir, or its configuration with --config",
            });
        }
        let config = Config::load(Flags {
            config: self.config,
            root: self.root,
            run_dir: self.run_dir,
            ..Flags::default()
        });
        let config = config.map_err(super::serve::unusable)?;
        Ok(CheckRequest {
            root: config.engine.root,
            run_dir: config.engine.run_dir,
            store: store.map(str::to_owned),
            how: match self.content {
                true => Thoroughness::Content,
                false => Thoroughness::Sizes,
            },
            limits: config.limits,
            read_bytes: Arc::default(),
        })
    }
}

fn failed(error: Error) -> Failure {
    Failure::Told {
        what: with_causes(&error),
        remedy: error.remedy(),
        exit: Exit::of_problem(error.class().word(), error.code()),
        code: Some(error.code()),
    }
}

/// Tells what is wrong, and fails if anything is.
pub(crate) fn check(
    printer: &Printer,
    arguments: CheckArguments,
    store: Option<&str>,
) -> Result<(), Failure> {
    let request = arguments.place.request(store)?;
    let report = with_count(&request, "check", || mica_engine::check(&request)).map_err(failed)?;
    printer.result(&json!(report), || checked(&report))?;
    if report.findings.is_empty() {
        return Ok(());
    }
    let mendable = report
        .findings
        .iter()
        .filter(|one| one.is_mendable())
        .count();
    Err(Failure::Told {
        what: counted(report.findings.len(), "finding"),
        remedy: match (mendable, report.daemon_runs) {
            (0, _) => None,
            (_, true) => Some("stop the daemon, then `mica repair`".to_owned()),
            (_, false) => Some("`mica repair --dry-run`, then `mica repair`".to_owned()),
        },
        exit: Exit::Findings,
        code: Some("findings"),
    })
}

/// Puts right what is wrong, and fails if something is left.
pub(crate) fn repair(
    printer: &Printer,
    arguments: RepairArguments,
    store: Option<&str>,
) -> Result<(), Failure> {
    let request = arguments.place.request(store)?;
    let mode = match arguments.dry_run {
        true => RepairMode::DryRun,
        false => RepairMode::Do,
    };
    let repairs = with_count(&request, "repair", || mica_engine::repair(&request, mode));
    let repairs = repairs.map_err(failed)?;
    let document = json!({ "dry_run": arguments.dry_run, "repairs": repairs });
    printer.result(&document, || repaired(&repairs))?;
    let is_left = |repair: &&Repair| matches!(repair.outcome, Outcome::Left | Outcome::Failed(_));
    match repairs.iter().filter(is_left).count() {
        0 => Ok(()),
        left => Err(Failure::Told {
            what: format!("{} left", counted(left, "finding")),
            remedy: None,
            exit: Exit::Findings,
            code: Some("findings"),
        }),
    }
}

/// Tells on a terminal how much was read of layers while `work` runs.
fn with_count<T>(request: &CheckRequest, message: &str, work: impl FnOnce() -> T) -> T {
    let read = &request.read_bytes;
    waiting::alone(
        message,
        |bar| {
            tell_bytes(bar, None);
            bar.set_position(read.load(Ordering::Relaxed));
        },
        work,
    )
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn checked(report: &CheckReport) -> String {
    let findings = report
        .findings
        .iter()
        .map(|finding| told(finding, "repair", finding.repair));
    let mut text: String = findings.collect();
    let daemon = match report.daemon_runs {
        true => "runs: what it is doing just now was left out",
        false => "does not run",
    };
    text.push_str(&pairs([
        ("stores", report.stores.to_string()),
        ("layers", report.layers.to_string()),
        ("daemon", daemon.to_owned()),
        ("set aside", report.set_aside.to_string()),
        ("findings", report.findings.len().to_string()),
    ]));
    text
}

fn repaired(repairs: &[Repair]) -> String {
    let told = |repair: &Repair| {
        let does = repair.finding.repair;
        match &repair.outcome {
            Outcome::Planned => told(&repair.finding, "would be mended", does),
            Outcome::Mended => told(&repair.finding, "mended", does),
            Outcome::Left => told(&repair.finding, "left", does),
            Outcome::Failed(why) => told(&repair.finding, "not mended", why),
        }
    };
    match repairs {
        [] => "nothing is wrong\n".to_owned(),
        _ => repairs.iter().map(told).collect(),
    }
}

/// A finding: its kind and what it is about, what is wrong, what is done.
fn told(finding: &Finding, doing: &str, what: &str) -> String {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
        Severity::Loss => "LOSS",
    };
    let about = [
        ("store", &finding.store),
        ("layer", &finding.layer),
        ("snapshot", &finding.snapshot),
    ];
    let about = about.iter().filter_map(|(what, name)| {
        let name = name.as_ref()?;
        Some(format!("  {what} `{name}`"))
    });
    format!(
        "{severity:6}  {}{}\n        {}\n        {doing}: {what}\n",
        finding.kind.id(),
        about.collect::<String>(),
        finding.detail
    )
}
