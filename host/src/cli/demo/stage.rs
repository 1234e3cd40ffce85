//! The directory and the daemon of the demo, and how both go away.
//!
//! Invariant: the directory is removed only when the kernel says that nothing is mounted below it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;
use serde_json::Value;

use super::daemon::Daemon;
use super::{Failure, mounts, untrue, words};
use crate::cli::client::{Client, segment};
use crate::machine;

/// Everything that the demo makes.
#[derive(Debug)]
pub(super) struct Stage {
    directory: PathBuf,
    keep: bool,
    daemon: Option<Daemon>,
    is_clear: bool,
}

impl Stage {
    /// Makes a directory below `parent`.
    ///
    /// # Errors
    /// What making it says.
    pub(super) fn build(parent: &Path, keep: bool) -> Result<Self, Failure> {
        let doing = || format!("make a directory in `{}`", parent.display());
        let parent = parent.canonicalize().map_err(Failure::io(doing()))?;
        let directory = parent.join(format!("mica-demo-{}", std::process::id()));
        fs::create_dir(&directory).map_err(Failure::io(doing()))?;
        Ok(Self {
            directory,
            keep,
            daemon: None,
            is_clear: false,
        })
    }

    /// The directory, and the file system that it is on.
    pub(super) fn describe(&self) -> String {
        let found = machine::file_system(&self.directory).map_or("unknown", |found| found.name);
        format!("{} on {found}", self.directory.display())
    }

    /// A path in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts the daemon.
    pub(super) fn start_daemon(&mut self) -> Result<(), Failure> {
        self.daemon = Some(Daemon::start(&self.directory)?);
        Ok(())
    }

    /// Ends the daemon.
    pub(super) fn stop_daemon(&mut self) -> Result<(), Failure> {
        self.daemon.take().map_or(Ok(()), Daemon::stop)
    }

    /// The number of the daemon's process; 0 if there is none.
    pub(super) fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::pid)
    }

    /// Talks to the daemon.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn client(&self) -> Result<&Client, Failure> {
        self.daemon
            .as_ref()
            .map(Daemon::client)
            .ok_or_else(|| untrue("the daemon does not run"))
    }

    /// Unmounts, removes and ends whatever is left, looks whether all is gone, and says so.
    ///
    /// # Errors
    /// What is left.
    pub(super) fn clear(&mut self) -> Result<String, Failure> {
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
