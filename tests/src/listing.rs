//! Reads archives: header by header, and whole trees with GNU tar.
//!
//! Invariant: independent of Mica's own reader and writer; what is not as it should be is a panic.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub use mica_cases::listing::{Entry, lines, list};

/// Unpacks an archive with GNU tar, with all that it can keep.
#[track_caller]
pub fn extract(archive: &[u8], into: &Path) {
    fs::create_dir_all(into).expect("make a directory");
    let mut command = Command::new("tar");
    command.args([
        "--extract",
        "--preserve-permissions",
        "--same-owner",
        "--numeric-owner",
        "--delay-directory-restore",
    ]);
    command
        .args(["--xattrs", "--xattrs-include=*", "--directory"])
        .arg(into)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start tar");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut stdin, archive));
        child.wait_with_output().expect("wait for tar")
    });
    assert!(
        output.status.success(),
        "tar: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
