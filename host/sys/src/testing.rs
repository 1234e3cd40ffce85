//! What the tests of this crate share: a place to work, error numbers, and mounts that no one else sees.
//!
//! Invariant: a test leaves nothing behind, also when it fails.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use tempfile::TempDir;

use crate::mount::mounts_below;
use crate::{Name, errno};

/// An empty directory that is gone when the value is dropped.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = TempDir::with_prefix("mica-sys-").unwrap();
        Self { directory }
    }

    /// One on another file system than [`Place::new`] makes them.
    pub(crate) fn elsewhere() -> Self {
        let directory = TempDir::with_prefix_in("mica-sys-", "/dev/shm").unwrap();
        let place = Self { directory };
        let device = |path: PathBuf| fs::metadata(path).unwrap().dev();
        assert_ne!(device(place.path("")), device(std::env::temp_dir()));
        place
    }

    /// A path in the directory; of itself for an empty text.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        match relative {
            "" => self.directory.path().to_owned(),
            _ => self.directory.path().join(relative),
        }
    }

    /// The directory, or one below it, opened.
    pub(crate) fn open(&self, relative: &str) -> OwnedFd {
        File::open(self.path(relative)).unwrap().into()
    }

    /// Makes a directory and those above it, and opens it.
    pub(crate) fn make(&self, relative: &str) -> OwnedFd {
        fs::create_dir_all(self.path(relative)).unwrap();
        self.open(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(relative), content).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is still mounted keeps the directory, and must not be emptied with it.
        let mounts = mounts_below(self.directory.path()).unwrap_or_default();
        for mount in mounts.iter().rev() {
            let flags = UnmountFlags::NOFOLLOW | UnmountFlags::DETACH;
            let _gone = unmount(mount.mount_point.as_slice(), flags);
        }
    }
}

pub(crate) fn name(text: impl AsRef<[u8]>) -> Name {
    Name::new(text.as_ref()).unwrap()
}

/// The error number of what must have failed.
#[track_caller]
pub(crate) fn refused<T>(outcome: io::Result<T>) -> i32 {
    match outcome {
        Ok(_) => panic!("this must fail"),
        Err(error) => errno::of(&error).unwrap_or_else(|| panic!("no error number: {error}")),
    }
}

/// Runs `work` on a thread with a mount table and a umask of its own; needs root.
pub(crate) fn in_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS).expect("run these tests as root");
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).unwrap();
        work()
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs one test again in a process that may have only so many descriptors. Says whether this is
/// that process.
pub(crate) fn is_limited(test: &str, descriptors: u32) -> bool {
    const MARK: &str = "MICA_SYS_TEST_IS_LIMITED";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(MARK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "no such test: {said}");
    false
}
