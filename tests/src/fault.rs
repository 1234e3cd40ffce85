//! Faults that `strace` puts into the daemon's system calls.
//!
//! Invariant: a fault lasts until [`end`], or until the test ends in any way.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;

/// Lets `strace` do something at the `when`th of some system calls of the daemon.
pub fn inject(
    daemon: &Daemon,
    calls: &str,
    fault: &str,
    when: impl std::fmt::Display,
) -> Option<Child> {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-p",
        &daemon.pid().to_string(),
    ]);
    command.args([
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:{fault}:when={when}"),
    ]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if daemon.is_traced() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("strace does not attach");
}

/// Whether there is a `strace`; fails where there must be one.
pub fn strace_is_there() -> bool {
    let there = Command::new("strace")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "strace is not installed");
        println!("skipped: strace is not installed");
    }
    there
}

/// Takes the fault away.
pub fn end(tracer: Option<Child>) {
    if let Some(mut tracer) = tracer {
        tracer.kill().ok();
        tracer.wait().ok();
    }
}
