//! The daemon that people run, as a process of its own.
//!
//! Invariant: it ends with the value that stands for it.

use crate::place::run;
use crate::request::json;
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time that a start may take.
const MOST_START: Duration = Duration::from_secs(60);

/// A daemon of its own directory; it ends with the value.
pub(crate) struct Daemon<'a> {
    child: Child,
    mica: &'a Path,
    path: &'a Path,
}

impl<'a> Daemon<'a> {
    /// Starts it with root, run directory and socket below `path`, which may be there from a start before, and waits until it
    /// answers.
    pub(crate) fn start(mica: &'a Path, path: &'a Path, more: &[&OsStr]) -> Result<Self> {
        fs::create_dir_all(path)?;
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
            .args(more)
            .stderr(Stdio::null());
        let child = command.spawn().with_context(|| {
            format!(
                "start `{}`: `make build` builds it, `--mica` takes another",
                mica.display()
            )
        })?;
        let mut daemon = Self { child, mica, path };
        let began = Instant::now();
        while json(&path.join("socket"), "GET /v1/status", "").is_err() {
            let ended = daemon.child.try_wait()?;
            ensure!(ended.is_none(), "the daemon ended: {ended:?}");
            ensure!(began.elapsed() < MOST_START, "the daemon does not answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(daemon)
    }

    /// Ends it as a service manager does.
    pub(crate) fn end(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]))?;
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }

    /// A command that talks to it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.mica);
        command
            .arg("--socket")
            .arg(self.path.join("socket"))
            .args(arguments);
        command
    }

    /// Runs a command that must work.
    pub(crate) fn mica(&self, arguments: &[&str]) -> Result<()> {
        run(self.command(arguments).stdout(Stdio::null()))
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident(&self) -> Result<u64> {
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
