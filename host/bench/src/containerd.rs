//! A real containerd, which has Mica's drivers as snapshotters beside those that are built in, and unpacks through them where it
//! can (1.7.4 and later).
//!
//! Invariant: it lives in namespaces of its own, which end with the value, and keeps everything in one directory.

use crate::place::run;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
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

/// What inflates where no program does.
pub(crate) const OWN_CODE: &str = "its own code";

/// A containerd's programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Where they lie; the search path where there is no other.
    directory: Option<PathBuf>,
    /// What it says of itself.
    pub(crate) version: String,
}

/// Which program inflates for containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inflater {
    /// What it finds.
    Found,
    /// Its own.
    Own,
}

/// A running containerd.
pub(crate) struct Containerd {
    child: Child,
    socket: PathBuf,
    programs: Programs,
}

impl Programs {
    /// A containerd that unpacks through others, which tests/setup/peers.sh fetches, or else the installed one.
    pub(crate) fn find() -> Result<Self> {
        let fetched = fs::canonicalize("target/peers/containerd-1.7/usr/bin").ok();
        let mut programs = Self {
            directory: fetched,
            version: String::new(),
        };
        let output = programs.command("containerd").arg("--version").output();
        let output = output.context("start containerd")?.stdout;
        let text = String::from_utf8_lossy(&output);
        let version = text.split_whitespace().nth(2);
        version
            .unwrap_or_default()
            .clone_into(&mut programs.version);
        Ok(programs)
    }

    /// Whether layers are unpacked through Mica.
    pub(crate) fn has_differ(&self) -> bool {
        self.directory.is_some()
    }

    /// The program that inflates for it.
    pub(crate) fn inflater(&self) -> &'static str {
        // Before 2.0 it looks for one only.
        let known: &[&str] = if self.version.trim_start_matches('v').starts_with("1.") {
            &["unpigz"]
        } else {
            &["igzip", "unpigz"]
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there =
            |name: &&&str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
        known.iter().find(is_there).copied().unwrap_or(OWN_CODE)
    }

    fn command(&self, name: &str) -> Command {
        Command::new(match &self.directory {
            Some(directory) => directory.join(name),
            None => PathBuf::from(name),
        })
    }

    /// The search path with these programs first.
    fn path(&self) -> OsString {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let all = self.directory.clone().into_iter();
        // Only a directory with a colon in its name cannot be in the path.
        std::env::join_paths(all.chain(std::env::split_paths(&rest))).unwrap_or(rest)
    }
}

impl Containerd {
    /// Starts it in a new directory, with snapshotters by their names and sockets, and waits until it answers.
    pub(crate) fn start(
        directory: &Path,
        programs: &Programs,
        snapshotters: &[(&str, PathBuf)],
        inflater: Inflater,
    ) -> Result<Self> {
        fs::create_dir(directory)?;
        let path = directory.join("config.toml");
        fs::write(&path, configuration(directory, programs, snapshotters))?;
        let log = File::create(directory.join("log"))?;
        let mut command = Command::new("unshare");
        if inflater == Inflater::Own {
            command.env("CONTAINERD_DISABLE_PIGZ", "1");
            command.env("CONTAINERD_DISABLE_IGZIP", "1");
        }
        let child = command
            .args(["--mount", "--propagation", "slave", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "sh", "-c", FIRST_PROCESS])
            .arg(&path)
            .env("PATH", programs.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start unshare")?;
        let containerd = Self {
            child,
            socket: directory.join("containerd.sock"),
            programs: programs.clone(),
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
        let mut command = self.programs.command("ctr");
        command.arg("--address").arg(&self.socket).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// What a command of containerd's own prints, which must work.
    pub(crate) fn told<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String> {
        let output = self.command(arguments).stdout(Stdio::piped()).output()?;
        ensure!(output.status.success(), "ctr failed");
        Ok(String::from_utf8(output.stdout)?)
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

fn configuration(
    directory: &Path,
    programs: &Programs,
    snapshotters: &[(&str, PathBuf)],
) -> String {
    let directory = directory.display();
    let mut text = format!(
        r#"
        version = 2
        root = "{directory}/root"
        state = "{directory}/state"
        disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.grpc.v1.cri"]
        [grpc]
          address = "{directory}/containerd.sock"
        "#
    );
    let mut order = String::new();
    for (name, socket) in snapshotters {
        let socket = socket.display();
        let plugin = |name: &str, kind: &str| {
            format!("[proxy_plugins.{name}]\n type = \"{kind}\"\n address = \"{socket}\"\n")
        };
        text += &plugin(name, "snapshot");
        if programs.has_differ() {
            text += &plugin(&format!("{name}-diff"), "diff");
            order += &format!("\"{name}-diff\", ");
        }
    }
    if programs.has_differ() {
        text += &format!(
            "[plugins.\"io.containerd.service.v1.diff-service\"]\n default = [{order}\"walking\"]\n"
        );
    }
    text
}
