//! `mica doctor`: what this kernel and file system offer.
//!
//! Invariant: needs no daemon; what it makes on disk for a try, it removes.

use std::path::Path;

use serde_json::json;

use crate::daemon::{self, Verdict};
use crate::machine::{self, Check, Need};
use mica_client::{Failure, Printer, words};

/// What the daemon does to itself; what came of it there, `mica status` tells.
const CONFINEMENT: &str = "\
The daemon keeps these capabilities, drops all others for good, and sets no_new_privs. It does not use
Landlock: a process under Landlock may not mount.";

/// Prints every check, and fails if no driver could work.
pub(crate) fn run(printer: &Printer, path: Option<&Path>) -> Result<(), Failure> {
    let path = path.unwrap_or(Path::new("."));
    let doing = format!("look at `{}`", path.display());
    let report = machine::examine(path).map_err(Failure::io(doing))?;
    let drivers = daemon::try_drivers(&report.path);
    let told = |value: fn(&Verdict) -> Option<serde_json::Value>| -> serde_json::Map<_, _> {
        let pairs = drivers.iter();
        let pairs = pairs.filter_map(|driver| Some((driver.name.to_owned(), value(driver)?)));
        pairs.collect()
    };
    let document = json!({
        "path": report.path.display().to_string(),
        "kernel": report.kernel,
        "file_system": report.file_system,
        "free_bytes": report.room.free_bytes,
        "free_inodes": report.room.free_inodes,
        "drivers": told(|driver| Some(json!(driver.refusal.is_none()))),
        "refusals": told(|driver| driver.refusal.as_ref().map(|why| json!(why))),
        "confinement": { "capabilities": machine::capability_names(machine::needed_capabilities()), "no_new_privs": true, "landlock": false },
        "checks": report.checks.iter().map(check_document).collect::<Vec<_>>(),
    });
    printer.result(&document, || render(&report, &drivers))?;
    if drivers.iter().any(|driver| driver.refusal.is_none()) {
        return Ok(());
    }
    Err(Failure::NotSupported {
        what: format!("no driver can work on `{}`", report.path.display()),
        remedy: "what is missing is listed above, each with its remedy".to_owned(),
    })
}

fn check_document(check: &Check) -> serde_json::Value {
    json!({
        "name": check.name,
        "ok": check.missing.is_none(),
        "for": check.need.words(),
        "detail": check.detail,
        "missing": check.missing,
    })
}

fn render(report: &machine::Report, drivers: &[Verdict]) -> String {
    let mut text = format!(
        "kernel       {}\npath         {}\nfile system  {}, {} free, {} inodes free\n\n",
        report.kernel,
        report.path.display(),
        report.file_system,
        words::bytes(report.room.free_bytes),
        if report.room.total_inodes == 0 {
            "unlimited".to_owned()
        } else {
            report.room.free_inodes.to_string()
        },
    );
    for check in &report.checks {
        text.push_str(&line(check));
    }
    text.push_str(&format!("\n{CONFINEMENT}\n\n"));
    for driver in drivers {
        let verdict = match &driver.refusal {
            None => "works here".to_owned(),
            Some(why) => format!("does not work here: {why}"),
        };
        text.push_str(&format!("{:8} {verdict}\n", driver.name));
    }
    text
}

fn line(check: &Check) -> String {
    match &check.missing {
        None => {
            let line = format!("  ok       {:20} {}", check.name, check.detail);
            format!("{}\n", line.trim_end())
        }
        Some(remedy) => {
            let mark = if matches!(check.need, Need::Nice | Need::Some) {
                "absent "
            } else {
                "MISSING"
            };
            format!(
                "  {mark}  {:20} {}\n{:31}try: {remedy}\n",
                check.name,
                check.need.words(),
                ""
            )
        }
    }
}
