//! A program on a terminal.
//!
//! Invariant: the program sees a terminal of its own, and a test waits for what it shows, never for a time.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::build;

/// What plays on the terminal: Python has one in its library.
const PLAYER: &str = include_str!("terminal.py");

/// Runs `mica` on a terminal of this many columns and rows against the daemon on `socket`, and plays the steps that the head of
/// `terminal.py` explains. The last line of what comes back tells how it ended.
#[track_caller]
pub fn play(
    socket: &Path,
    (columns, rows): (u16, u16),
    arguments: &[&str],
    steps: &[&str],
) -> String {
    let mut command = Command::new("python3");
    command
        .arg("-")
        .args([columns.to_string(), rows.to_string()])
        .arg(build::mica())
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .arg("--")
        .args(steps)
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start python3");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(PLAYER.as_bytes())
        .expect("hand over the player");
    drop(stdin);
    let output = child.wait_with_output().expect("wait for the player");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
