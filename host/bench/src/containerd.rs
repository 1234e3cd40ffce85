//! A real containerd, which has Mica as a snapshotter beside those that are built in.
//!
//! Invariant: it lives in namespaces of its own, which end with the value, and keeps everything in one directory.

use crate::place::run;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ends, and with it whatever runs in its namespace, when its input does. Shims keep sockets below /run, whatever the
/// configuration says.
const FIRST_PROCESS: &str = r#"
    mount -t tmpfs tmpfs /run || exit 1
    containerd --config "$0" &
    read -r _
    kill -TERM $!
    wait $!
"#;

/// A running containerd.
pub(crate) struct Containerd {
    child: Child,
    socket: PathBuf,
}

impl Containerd {
    /// Starts it in a new directory, with Mica's socket, and waits until it answers.
    pub(crate) fn start(directory: &Path, mica: &Path) -> Result<Self> {
        fs::create_dir(directory)?;
        let path = directory.join("config.toml");
        fs::write(&path, configuration(directory, mica))?;
        let log = File::create(directory.join("log"))?;
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "sh", "-c", FIRST_PROCESS])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start unshare")?;
        let containerd = Self {
            child,
            socket: directory.join("containerd.sock"),
        };
        for _ in 0..500 {
            let mut version = containerd.command(&["version"]);
            version.stderr(Stdio::null());
            if version.status().context("start ctr")?.success() {
                return Ok(containerd);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        anyhow::bail!("containerd does not answer: {log}")
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs a command of containerd's own that must work.
    pub(crate) fn ctr<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<()> {
        run(&mut self.command(arguments))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // What does not end is told by the directory that cannot be removed.
        let _ended = self.child.wait();
    }
}

fn configuration(directory: &Path, mica: &Path) -> String {
    let (directory, mica) = (directory.display(), mica.display());
    format!(
        r#"
        version = 2
        root = "{directory}/root"
        state = "{directory}/state"
        disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.grpc.v1.cri"]
        [grpc]
          address = "{directory}/containerd.sock"
        [proxy_plugins.mica]
          type = "snapshot"
          address = "{mica}"
        "#
    )
}
