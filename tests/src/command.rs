//! The command line as a test uses it.
//!
//! Invariant: runs the built binary with an environment of its own; nothing of the caller's shell comes along.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::build;

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Panics unless the command worked, and returns its output.
    #[track_caller]
    pub fn worked(&self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.text(), self.stderr);
        self.text()
    }

    /// Panics unless the command failed with this code, printed nothing but an error that names `object`.
    #[track_caller]
    pub fn failed(&self, code: i32, object: &str) {
        assert_eq!(self.code, code, "{}{}", self.text(), self.stderr);
        assert!(
            self.stderr.starts_with("mica: ") || self.stderr.starts_with("error: "),
            "{}",
            self.stderr
        );
        assert!(
            self.stderr.contains(object),
            "`{object}` is not named: {}",
            self.stderr
        );
        assert!(
            self.stdout.is_empty(),
            "output beside an error: {}",
            self.text()
        );
    }
}

/// Runs `mica` with these arguments against the daemon on `socket`.
pub fn mica(socket: &Path, arguments: &[&str]) -> Ended {
    mica_with_input(socket, arguments, b"")
}

/// Runs `mica` with these arguments and this standard input.
pub fn mica_with_input(socket: &Path, arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = bare();
    command.arg("--socket").arg(socket).args(arguments);
    run(command, input)
}

/// Runs `mica` with these arguments and no socket.
pub fn mica_alone(arguments: &[&str]) -> Ended {
    let mut command = bare();
    command.args(arguments);
    run(command, b"")
}

/// The command without arguments, in an environment that is the same everywhere.
pub fn bare() -> Command {
    let mut command = Command::new(build::mica());
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1");
    command
}

fn run(mut command: Command, input: &[u8]) -> Ended {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start mica");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // A command that does not read leaves a broken pipe: no matter.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("wait for mica")
    });
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    Ended {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Compresses bytes with a program; nothing if it is not installed.
pub fn packed(program: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes));
        Some(child.wait_with_output().expect("wait").stdout)
    })
}
