//! The directory and the daemon of the demo, and how both go away.
//!
//! Invariant: the directory is removed only when the kernel says that nothing is mounted below it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mounts;
use crate::tell::untrue;
use mica_client::{Client, Failure, segment, words};
use rustix::mount::UnmountFlags;
use serde_json::Value;

use crate::daemon::Daemon;

/// Everything that the demo makes.
#[derive(Debug)]
pub(crate) struct Stage {
    program: PathBuf,
    directory: PathBuf,
    keep: bool,
    daemon: Option<Daemon>,
    is_clear: bool,
}

impl Stage {
    /// Makes a directory below `parent`; `program` will be the daemon.
    ///
    /// # Errors
    /// What making it says.
    pub(crate) fn build(program: PathBuf, parent: &Path, keep: bool) -> Result<Self, Failure> {
        let doing = || format!("make a directory in `{}`", parent.display());
        let parent = parent.canonicalize().map_err(Failure::io(doing()))?;
        let directory = parent.join(format!("mica-demo-{}", std::process::id()));
        fs::create_dir(&directory).map_err(Failure::io(doing()))?;
        Ok(Self {
            program,
            directory,
            keep,
            daemon: None,
            is_clear: false,
        })
    }

    /// The directory, and the file system that it is on.
    pub(crate) fn describe(&self) -> String {
        let found = self
            .file_system()
            .unwrap_or_else(|| "an unknown file system".to_owned());
        format!("{} on {found}", self.directory.display())
    }

    fn file_system(&self) -> Option<String> {
        let mut command = Command::new(&self.program);
        command
            .args(["--output", "json", "fsmagic"])
            .arg(&self.directory);
        let told: Value = serde_json::from_slice(&command.output().ok()?.stdout).ok()?;
        Some(told.get("name")?.as_str()?.to_owned())
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts the daemon.
    pub(crate) fn start_daemon(&mut self) -> Result<(), Failure> {
        self.daemon = Some(Daemon::start(&self.program, &self.directory)?);
        Ok(())
    }

    /// Ends the daemon.
    pub(crate) fn stop_daemon(&mut self) -> Result<(), Failure> {
        self.daemon.take().map_or(Ok(()), Daemon::stop)
    }

    /// The number of the daemon's process; 0 if there is none.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::pid)
    }

    /// Talks to the daemon.
    ///
    /// # Errors
    /// That there is none.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        self.daemon
            .as_ref()
            .map(Daemon::client)
            .ok_or_else(|| untrue("the daemon does not run"))
    }

    /// Unmounts, removes and ends whatever is left, looks whether all is gone, and says so.
    ///
    /// # Errors
    /// What is left.
    pub(crate) fn clear(&mut self) -> Result<String, Failure> {
        self.is_clear = true;
        if let Some(daemon) = self.daemon.take() {
            unmount_layers(daemon.client());
            daemon.stop().ok();
        }
        // What a daemon that was killed left behind; the last one mounted goes first.
        for mount in mounts::below(&self.directory)?.iter().rev() {
            rustix::mount::unmount(
                mount.point.as_slice(),
                UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
            )
            .ok();
        }
        let left = mounts::below(&self.directory)?;
        if let Some(mount) = left.first() {
            let point = String::from_utf8_lossy(&mount.point);
            return Err(untrue(format!(
                "{} mounts are left, `{point}` first; nothing was removed",
                left.len()
            )));
        }
        let shown = self.directory.display();
        if self.keep {
            return Ok(format!("nothing is mounted; `{shown}` is kept"));
        }
        fs::remove_dir_all(&self.directory).map_err(Failure::io(format!("remove `{shown}`")))?;
        if self.directory.symlink_metadata().is_ok() {
            return Err(untrue(format!("`{shown}` is still there")));
        }
        Ok(format!(
            "nothing is mounted, no daemon runs, `{shown}` is gone"
        ))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_clear {
            self.clear().ok();
        }
    }
}

/// Gives back every mount of every store; failures show in the list of mounts afterwards.
fn unmount_layers(client: &Client) {
    let stores = client.get("/v1/stores").unwrap_or(Value::Null);
    for store in words::list(&stores, "stores") {
        let target = format!(
            "/v1/stores/{}/layers",
            segment(&words::field(store, "name"))
        );
        let layers = client.get(&target).unwrap_or(Value::Null);
        for layer in words::list(&layers, "layers") {
            let target = format!("{target}/{}/unmount", segment(&words::field(layer, "id")));
            for _ in 0..words::number(layer, "mounts") {
                client.post(&target, None).ok();
            }
        }
    }
}
