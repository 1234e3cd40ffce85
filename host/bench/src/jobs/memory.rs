//! Memory of the daemon: idle, and while a layer of 10 GB streams through.
//!
//! Invariant: the daemon is the program that people run, asked from outside.

use crate::Arguments;
use crate::measure::Report;
use crate::place::{Place, run};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Bytes of the layer; a hole, so the disk is not filled.
const LAYER_BYTES: u64 = 10 << 30;

/// Measures the daemon.
pub(super) fn memory(arguments: &Arguments, place: &Place, report: &mut Report) -> Result<()> {
    let path = place.disk().join("daemon");
    let daemon = Daemon::start(&arguments.mica, &path)?;
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

struct Daemon<'a> {
    child: Child,
    mica: &'a Path,
    path: &'a Path,
}

impl<'a> Daemon<'a> {
    fn start(mica: &'a Path, path: &'a Path) -> Result<Self> {
        fs::create_dir(path)?;
        let mut command = Command::new(mica);
        command
            .arg("serve")
            .arg("--root")
            .arg(path.join("root"))
            .arg("--run-dir")
            .arg(path.join("run"));
        command
            .arg("--socket")
            .arg(path.join("socket"))
            .stderr(Stdio::null());
        let child = command.spawn().with_context(|| {
            format!(
                "start `{}`: `make build` builds it, `--mica` takes another",
                mica.display()
            )
        })?;
        let daemon = Self { child, mica, path };
        for _ in 0..500 {
            let status = daemon
                .command(&["status"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if status.success() {
                return Ok(daemon);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("the daemon does not answer")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.mica);
        command
            .arg("--socket")
            .arg(self.path.join("socket"))
            .args(arguments);
        command
    }

    fn mica(&self, arguments: &[&str]) -> Result<()> {
        run(self.command(arguments).stdout(Stdio::null()))
    }

    /// Resident memory in KiB.
    fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line
            .and_then(|line| line.split_whitespace().next())
            .context("no VmRSS")?;
        Ok(number.parse()?)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // It has nothing mounted any more, and its directory goes with the place.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
