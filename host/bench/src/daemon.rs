//! The daemon that people run, as a process of its own.
//!
//! Invariant: it ends with the value that stands for it.

use crate::place::run;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A daemon of its own directory; it ends with the value.
pub(crate) struct Daemon<'a> {
    child: Child,
    mica: &'a Path,
    path: &'a Path,
}

impl<'a> Daemon<'a> {
    /// Starts it with root, run directory and socket below `path`, and waits until it answers.
    pub(crate) fn start(mica: &'a Path, path: &'a Path, more: &[&OsStr]) -> Result<Self> {
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
            .args(more)
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
