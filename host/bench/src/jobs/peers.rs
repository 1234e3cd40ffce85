//! Other programs' own implementations, driven by a program of their own language.
//!
//! Invariant: the peer's program takes the turns and prints the medians; here they are only put into the report.

use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::{Report, Spent};
use crate::place::{Place, run};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What containerd asks of a snapshotter, beside its own overlayfs snapshotter: all of it in memory, and what changes
/// something on the disk as well.
pub(super) fn containerd(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let built = Path::new("target/peers/containerd-bench");
    run(Command::new("tests/peers/containerd/bench/build.sh").arg(built))?;
    let bench = built.join("bench");
    compare(
        &bench,
        arguments,
        (&place.memory(), ""),
        "containerd",
        report,
    )?;
    let on_disk = (&*place.disk(), "Prepare");
    compare(&bench, arguments, on_disk, "containerd, on disk", report)
}

/// Compares the calls whose names begin so, or all of them, in a directory.
fn compare(
    bench: &Path,
    arguments: &Arguments,
    (directory, only): (&Path, &str),
    title: &str,
    report: &mut Report,
) -> Result<()> {
    let path = directory.join("containerd");
    let socket = directory.join("containerd.sock");
    let flags = [OsStr::new("--containerd-socket"), socket.as_os_str()];
    let _daemon = Daemon::start(&arguments.mica, &path, &flags)?;
    let peers = directory.join("peers");
    fs::create_dir(&peers)?;
    let mut command = Command::new(bench);
    command.arg("-socket").arg(&socket).arg("-dir").arg(&peers);
    command.args(["-only", only]);
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {errors}");
    let mut rows: Vec<(String, Vec<(String, Spent)>)> = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [call, side, micros] = fields[..] else {
            anyhow::bail!("no figure: {line}");
        };
        let time = Spent {
            wall: Duration::from_secs_f64(micros.parse::<f64>()? / 1e6),
            ..Spent::default()
        };
        match rows.last_mut().filter(|(last, _)| last == call) {
            Some((_, sides)) => sides.push((side.to_owned(), time)),
            None => rows.push((call.to_owned(), vec![(side.to_owned(), time)])),
        }
    }
    for (call, sides) in rows {
        report.add(&format!("{title}: {call}"), &sides);
    }
    Ok(())
}
