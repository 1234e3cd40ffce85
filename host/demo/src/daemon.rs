//! A daemon of the demo's own.
//!
//! Invariant: ended when the value is dropped, by force if it does not end by itself.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::interrupt;
use crate::tell::untrue;
use mica_client::{Client, Failure, Place};
use rustix::process::{Pid, Signal, kill_process};

/// How long a daemon may take to answer: it compiles its drivers first.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a daemon may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked at.
const POLL_PERIOD: Duration = Duration::from_millis(20);

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    client: Client,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` as a daemon below a directory, and waits until it answers.
    ///
    /// # Errors
    /// What it logged last, if it ends before that.
    pub(crate) fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        let socket = directory.join("mica.sock");
        let log = directory.join("daemon.log");
        let output =
            File::create(&log).map_err(Failure::io(format!("write `{}`", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(Failure::io("share the daemon's log"))?;
        let mut command = Command::new(program);
        command.arg("--socket").arg(&socket).arg("serve");
        command
            .arg("--root")
            .arg(directory.join("root"))
            .arg("--run-dir")
            .arg(directory.join("run"));
        // A group of its own: Ctrl-C is for the demo, which ends the daemon when it has cleared up.
        command
            .process_group(0)
            .env_remove("MICA_SOCKET")
            .env_remove("MICA_DRIVER")
            .env_remove("DOCKER_DRIVER")
            .env_remove("MICA_STORE");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().map_err(Failure::io("start the daemon"))?;
        let mut daemon = Self {
            child,
            client: Client::new(Place::Socket(socket))?,
            log,
        };
        daemon.wait_for_answer()?;
        Ok(daemon)
    }

    fn wait_for_answer(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            interrupt::check()?;
            match self.client.get("/v1/status") {
                Ok(_) => return Ok(()),
                Err(Failure::Unreachable { .. }) => {}
                Err(failure) => return Err(failure),
            }
            let ended = self
                .child
                .try_wait()
                .map_err(Failure::io("wait for the daemon"))?;
            if let Some(status) = ended {
                return Err(untrue(format!(
                    "the daemon does not start ({status}):\n{}",
                    self.last_words()
                )));
            }
            if Instant::now() > deadline {
                return Err(untrue(format!(
                    "the daemon does not answer:\n{}",
                    self.last_words()
                )));
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines
            .get(lines.len().saturating_sub(10)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Talks to it.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, waits, and ends it by force if that takes too long.
    ///
    /// # Errors
    /// That force was needed, or that it ended badly.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).ok();
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            match self
                .child
                .try_wait()
                .map_err(Failure::io("wait for the daemon"))?
            {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(untrue(format!(
                        "the daemon ended with {status}:\n{}",
                        self.last_words()
                    )));
                }
                None => std::thread::sleep(POLL_PERIOD),
            }
        }
        Err(untrue("the daemon did not end in time and was killed"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Without effect if it ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
