//! Other programs' own implementations, driven by a program of their own language.
//!
//! Invariant: the peer's program takes the turns and prints the medians; here they are only put into the report.

use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::Report;
use crate::place::{Place, run};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What containerd asks of a snapshotter, beside its own overlayfs snapshotter. All of it in memory.
pub(super) fn containerd(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let built = Path::new("target/peers/containerd-bench");
    run(Command::new("tests/peers/containerd/bench/build.sh").arg(built))?;
    let path = place.memory().join("containerd");
    let socket = place.memory().join("containerd.sock");
    let flags = [OsStr::new("--containerd-socket"), socket.as_os_str()];
    let _daemon = Daemon::start(&arguments.mica, &path, &flags)?;
    let peers = place.memory().join("peers");
    fs::create_dir(&peers)?;
    let mut command = Command::new(built.join("bench"));
    command.arg("-socket").arg(&socket).arg("-dir").arg(&peers);
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {errors}");
    let mut rows: Vec<(String, Vec<(String, Duration)>)> = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [call, side, micros] = fields[..] else {
            anyhow::bail!("no figure: {line}");
        };
        let time = Duration::from_secs_f64(micros.parse::<f64>()? / 1e6);
        match rows.last_mut().filter(|(last, _)| last == call) {
            Some((_, sides)) => sides.push((side.to_owned(), time)),
            None => rows.push((call.to_owned(), vec![(side.to_owned(), time)])),
        }
    }
    for (call, sides) in rows {
        report.add(&format!("containerd: {call}"), &sides);
    }
    Ok(())
}
