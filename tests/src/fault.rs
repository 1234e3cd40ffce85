//! Faults that `strace` puts into the daemon's system calls, and calls that it writes down.
//!
//! Invariant: a fault lasts until [`end`], or until the test ends in any way.

use std::fs;
use std::path::{Path, PathBuf};
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

/// What `strace` writes down of the daemon.
#[derive(Debug)]
pub struct Recording {
    tracer: Child,
    path: PathBuf,
}

impl Recording {
    /// Begins to write down some system calls of the daemon in a new file.
    pub fn begin(daemon: &Daemon, calls: &str, path: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "strace", "-f", "-qq", "-y", "-e"]);
        command.arg(format!("trace={calls}")).arg("-o").arg(path);
        command.args(["-e", "signal=none", "-p", &daemon.pid().to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let tracer = command.spawn().expect("start strace");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !daemon.is_traced() {
            assert!(Instant::now() < deadline, "strace does not attach");
            std::thread::sleep(Duration::from_millis(5));
        }
        let path = path.to_owned();
        Self { tracer, path }
    }

    /// The calls, one a line, in their order.
    pub fn end(mut self) -> Vec<String> {
        let pid = rustix::process::Pid::from_child(&self.tracer);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("end strace");
        self.tracer.wait().expect("wait for strace");
        let calls = fs::read_to_string(&self.path).expect("what it wrote");
        // A call that another thread's call interrupted has two lines.
        let begun = calls.lines().filter(|line| !line.contains(" resumed>"));
        begun.map(str::to_owned).collect()
    }
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
