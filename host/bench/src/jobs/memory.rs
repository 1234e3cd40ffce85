//! Memory of the daemon: idle, and while a layer of 10 GB streams through.
//!
//! Invariant: the daemon is the program that people run, asked from outside.

use crate::Arguments;
use crate::daemon::Daemon;
use crate::measure::Report;
use crate::place::Place;
use anyhow::{Result, ensure};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Bytes of the layer; a hole, so the disk is not filled.
const LAYER_BYTES: u64 = 10 << 30;

/// Measures the daemon.
pub(super) fn memory(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let path = place.disk().join("daemon");
    let daemon = Daemon::start(&arguments.mica, &path, &[])?;
    let idle = daemon.resident()?;
    daemon.mica(&["layer", "create", "large"])?;
    let output = daemon.command(&["layer", "mount", "large"]).output()?;
    let mounted = String::from_utf8(output.stdout)?;
    File::create(Path::new(mounted.trim()).join("hole"))?.set_len(LAYER_BYTES)?;
    let mut reader = daemon
        .command(&["layer", "diff", "large"])
        .stdout(Stdio::null())
        .spawn()?;
    let mut most = idle;
    while reader.try_wait()?.is_none() {
        most = most.max(daemon.resident()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(reader.wait()?.success(), "the diff failed");
    daemon.mica(&["layer", "umount", "large"])?;
    daemon.mica(&["layer", "rm", "large"])?;
    let megabytes = |kilobytes: u64| kilobytes / 1024;
    report.tell(format!(
        "resident memory: {} MiB idle, {} MiB at most while a diff of {} GiB is read",
        megabytes(idle),
        megabytes(most),
        LAYER_BYTES >> 30
    ));
    Ok(())
}
