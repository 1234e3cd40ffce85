//! A place to work: a mount namespace of the test's own, a temporary directory and a file system in it.
//!
//! ```text
//! <temporary>/fs/        the file system under test, mounted from a sparse file unless it is the machine's own
//! <temporary>/fs/root    the daemon's root        <temporary>/fs/canary   a tree that no one may touch
//! <temporary>/run        the daemon's run directory and socket
//! <temporary>/model      plain directories to compare with
//! ```
//!
//! Invariant: every mount lives in the namespace of the thread that made the lab, and so ends with it: a test that is
//! killed leaves no mount and no loop device behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use tempfile::TempDir;

use crate::tree;
use crate::watch::until;

/// A file system to work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// Whatever holds the temporary directory.
    Machine,
    /// ext4 on a loop device.
    Ext4,
    /// ext4 of 24 MiB, to be filled.
    SmallExt4,
    /// xfs with reflinks on a loop device.
    Xfs,
    /// btrfs on a loop device.
    Btrfs,
    /// tmpfs.
    Tmpfs,
}

/// A tree beside the daemon's root; the tests put secrets into it and look whether they stay.
const CANARY: &str = "
    d victim mode=700
    f victim/secret mode=600 data=canary-content own=1000:1000 x:user.canary=alive
    f victim/hello data=hello mode=4755
    d victim/dir mode=1777
    l victim/link to=secret
    d empty
";

/// A place to work.
#[derive(Debug)]
pub struct Lab {
    directory: TempDir,
    mounts: Vec<PathBuf>,
}

impl FileSystem {
    /// Makes an image of so many bytes that holds it.
    pub fn format(self, image: &Path, size: u64) {
        let make: &[&str] = match self {
            Self::Ext4 => &["mkfs.ext4", "-q", "-F", "-N", "65536"],
            Self::SmallExt4 => &["mkfs.ext4", "-q", "-F", "-O", "^has_journal"],
            Self::Xfs => &["mkfs.xfs", "-q", "-f", "-m", "reflink=1"],
            Self::Btrfs => &["mkfs.btrfs", "-q", "-f"],
            Self::Machine | Self::Tmpfs => panic!("{self:?} has no image"),
        };
        let file = File::create(image);
        let made = file.and_then(|file| file.set_len(size));
        made.expect("make a sparse file");
        run(&[make, &[image.to_str().expect("a path that is text")]].concat());
    }
}

impl Lab {
    /// A lab on a file system.
    pub fn on(file_system: FileSystem) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests mount file systems: run them as root"
        );
        unshare(CloneFlags::CLONE_NEWNS).expect("enter a mount namespace");
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .expect("make mounts private");
        let directory = TempDir::with_prefix("mica-test-").expect("a temporary directory");
        let mut lab = Self {
            directory,
            mounts: Vec::new(),
        };
        for name in ["fs", "run", "model"] {
            fs::create_dir(lab.path(name)).expect("make a directory");
        }
        lab.make(file_system);
        fs::create_dir(lab.canary()).expect("make the canary");
        tree::build(&lab.canary(), CANARY);
        lab
    }

    /// A path below the temporary directory.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// The daemon's root.
    pub fn root(&self) -> PathBuf {
        self.path("fs/root")
    }

    /// The tree that no one may touch.
    pub fn canary(&self) -> PathBuf {
        self.path("fs/canary")
    }

    /// The home of a store.
    pub fn home(&self, store: &str) -> PathBuf {
        self.root().join("stores").join(store)
    }

    /// A new empty directory outside of everything.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.path("model").join(name);
        fs::create_dir_all(&path).expect("make a directory");
        path
    }

    /// Takes the right to write away.
    pub fn make_read_only(&mut self) {
        let target = self.path("fs");
        run(&[
            "mount",
            "-o",
            "remount,ro",
            target.to_str().expect("a path that is text"),
        ]);
    }

    /// Another disk, of ext4, mounted beside everything. Says where.
    pub fn disk(&mut self, name: &str, bytes: u64) -> PathBuf {
        let (image, target) = (self.path(&format!("{name}.image")), self.path(name));
        fs::create_dir(&target).expect("make a directory");
        File::create(&image)
            .and_then(|file| file.set_len(bytes))
            .expect("make a sparse file");
        run(&[
            "mkfs.ext4",
            "-q",
            "-F",
            image.to_str().expect("a path that is text"),
        ]);
        self.attach_disk(name);
        target
    }

    /// Mounts it again.
    pub fn attach_disk(&mut self, name: &str) {
        let (image, target) = (self.path(&format!("{name}.image")), self.path(name));
        let (image, shown) = (image.to_str(), target.to_str());
        run(&[
            "mount",
            "-o",
            "loop",
            image.expect("a path that is text"),
            shown.expect("a path that is text"),
        ]);
        self.mounts.push(target);
    }

    /// Takes a disk away.
    pub fn detach_disk(&mut self, name: &str) {
        let target = self.path(name);
        unmount(&target, UnmountFlags::empty()).expect("unmount");
        self.mounts.retain(|mount| *mount != target);
    }

    fn make(&mut self, file_system: FileSystem) {
        match file_system {
            FileSystem::Machine => {}
            FileSystem::Tmpfs => self.mount(&["-t", "tmpfs", "-o", "size=512m", "mica-test"]),
            FileSystem::SmallExt4 => self.make_on_loop(file_system, 24 << 20),
            FileSystem::Ext4 | FileSystem::Xfs | FileSystem::Btrfs => {
                self.make_on_loop(file_system, 1 << 30);
            }
        }
    }

    fn make_on_loop(&mut self, file_system: FileSystem, size: u64) {
        let image = self.path("image");
        file_system.format(&image, size);
        self.attach(&image);
    }

    /// Mounts what an image holds as the file system under test.
    pub fn attach(&mut self, image: &Path) {
        self.mount(&["-o", "loop", image.to_str().expect("a path that is text")]);
    }

    /// Unmounts it, with all that a daemon which was killed has left mounted there.
    pub fn detach(&mut self) {
        let target = self.mounts.pop().expect("it is mounted");
        let target = target.to_str().expect("a path that is text");
        let is_unmounted = || {
            let done = Command::new("umount").args(["-R", target]).output();
            done.expect("start umount").status.success()
        };
        // What the kernel closes for a process that has ended is closed a little later.
        until("the file system is unmounted", is_unmounted);
    }

    fn mount(&mut self, arguments: &[&str]) {
        let target = self.path("fs");
        run(&[
            &["mount"],
            arguments,
            &[target.to_str().expect("a path that is text")],
        ]
        .concat());
        self.mounts.push(target);
    }

    /// The mounts below the temporary directory, as `id path` lines in order; lines of no other test. The one image of a
    /// layer that is there is left out: it stays attached until the layer goes.
    pub fn mount_table(&self) -> String {
        let table = fs::read("/proc/thread-self/mountinfo").expect("the table of mounts");
        let table = String::from_utf8_lossy(&table).into_owned();
        let inside = self.directory.path().to_str().expect("a path that is text");
        let mut images = std::collections::BTreeSet::new();
        let mut is_new_image = |path: &str| {
            let is_image = path.contains("/layers/") && path.ends_with("/d/image");
            is_image && images.insert(path.to_owned())
        };
        let lines = table.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            let (id, path) = (fields.next()?, fields.nth(3)?);
            let is_shown = path.starts_with(inside) && !is_new_image(path);
            is_shown.then(|| format!("{id} {path}\n"))
        });
        lines.collect()
    }

    /// Takes away the images that are attached in rooms of layers, so that the rooms can be removed by hand.
    pub fn detach_images(&self) {
        let table = fs::read("/proc/thread-self/mountinfo").expect("the table of mounts");
        let table = String::from_utf8_lossy(&table).into_owned();
        let inside = self.directory.path().to_str().expect("a path that is text");
        let paths = table.lines().filter_map(|line| line.split(' ').nth(4));
        for path in paths.filter(|path| path.starts_with(inside) && path.ends_with("/d/image")) {
            unmount(path, UnmountFlags::DETACH).expect("unmount");
        }
    }

    /// A copy of the image below the file system, as a power cut would leave it now.
    pub fn cut(&self, name: &str) -> PathBuf {
        let [from, to] = ["image", name].map(|name| self.path(name));
        let [image, copy] = [&from, &to].map(|path| path.to_str().expect("text"));
        run(&["cp", "--sparse=always", image, copy]);
        to
    }

    /// The unique id of the mount at a path, which no other mount ever has.
    pub fn mount_id(&self, path: &Path) -> u64 {
        let flags = rustix::fs::StatxFlags::from_bits_retain(0x4000);
        let status = rustix::fs::statx(rustix::fs::CWD, path, rustix::fs::AtFlags::empty(), flags);
        let status = status.unwrap_or_else(|error| panic!("statx {}: {error}", path.display()));
        assert!(
            status
                .stx_attributes
                .contains(rustix::fs::StatxAttributes::MOUNT_ROOT),
            "{} is no mount",
            path.display()
        );
        status.stx_mnt_id
    }

    /// A process in a copy of this namespace, which has all mounts of now and keeps them until it ends.
    pub fn another_namespace(&self) -> std::process::Child {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sleep",
            "300",
        ]);
        command.spawn().expect("start sleep")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What a daemon left mounted lies above what the lab mounted.
        let table = self.mount_table();
        for line in table.lines().rev() {
            if let Some((_, path)) = line.split_once(' ') {
                unmount(path, UnmountFlags::DETACH).ok();
            }
        }
    }
}

/// Runs a program that must work.
pub fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
