//! The drivers and file systems that the suites run on.
//!
//! Invariant: a suite names a setup and nothing else: which driver it is makes no difference to any case, but for the
//! facts that stand here.

use crate::build;
use crate::client::Store;
use crate::daemon::{Daemon, Settings};
use crate::lab::{FileSystem, Lab};
use crate::watch::Watch;

/// A driver on a file system.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The driver's name.
    pub driver: &'static str,
    /// Where its home lies.
    pub file_system: FileSystem,
    /// How it finds what changed.
    pub changes: Changes,
    /// Whether it comes with the binary.
    pub origin: Origin,
}

/// How a driver finds what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// From the upper directory: whatever was written to is a change.
    Native,
    /// By comparing two trees: what looks the same is the same.
    Compared,
}

/// Where a driver comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is in the binary.
    Embedded,
    /// It is built from `examples/hello-driver` and loaded at run time.
    Example,
    /// The same, from `examples/python-driver`.
    Python,
}

/// Overlay as people use it.
pub const OVERLAY_EXT4: Setup = overlay(FileSystem::Ext4);
/// Overlay on xfs.
pub const OVERLAY_XFS: Setup = overlay(FileSystem::Xfs);
/// Overlay on btrfs.
pub const OVERLAY_BTRFS: Setup = overlay(FileSystem::Btrfs);
/// Archives and their indexes.
pub const EROFS_EXT4: Setup = erofs(FileSystem::Ext4);
/// Archives and their indexes, on xfs.
pub const EROFS_XFS: Setup = erofs(FileSystem::Xfs);
/// Archives and their indexes, on btrfs.
pub const EROFS_BTRFS: Setup = erofs(FileSystem::Btrfs);
/// Copies, byte by byte.
pub const VFS_EXT4: Setup = vfs(FileSystem::Ext4);
/// Copies that share blocks.
pub const VFS_XFS: Setup = vfs(FileSystem::Xfs);
/// Copies that share blocks, on btrfs.
pub const VFS_BTRFS: Setup = vfs(FileSystem::Btrfs);
/// Copies in memory.
pub const VFS_TMPFS: Setup = vfs(FileSystem::Tmpfs);
/// Snapshots.
pub const BTRFS: Setup = Setup {
    driver: "btrfs",
    file_system: FileSystem::Btrfs,
    changes: Changes::Compared,
    origin: Origin::Embedded,
};
/// A stranger's driver.
pub const HELLO_EXT4: Setup = Setup {
    driver: "hello",
    file_system: FileSystem::Ext4,
    changes: Changes::Compared,
    origin: Origin::Example,
};

/// A stranger's driver that brings an interpreter.
pub const PYTHON_EXT4: Setup = Setup {
    driver: "python",
    origin: Origin::Python,
    ..HELLO_EXT4
};

const fn overlay(file_system: FileSystem) -> Setup {
    Setup {
        driver: "overlay",
        file_system,
        changes: Changes::Native,
        origin: Origin::Embedded,
    }
}

const fn erofs(file_system: FileSystem) -> Setup {
    Setup {
        driver: "erofs",
        file_system,
        changes: Changes::Native,
        origin: Origin::Embedded,
    }
}

const fn vfs(file_system: FileSystem) -> Setup {
    Setup {
        driver: "vfs",
        file_system,
        changes: Changes::Compared,
        origin: Origin::Embedded,
    }
}

/// A daemon at work.
#[derive(Debug)]
pub struct Bench {
    /// The daemon. Ends before the lab does.
    pub daemon: Daemon,
    /// The store under test.
    pub store: Store,
    /// Where it all lies.
    pub lab: Lab,
}

impl Setup {
    /// Starts a daemon with a store of the driver.
    pub fn start(&self) -> Bench {
        let lab = Lab::on(self.file_system);
        self.start_in(lab)
    }

    /// Starts a daemon with a store of the driver in a lab.
    pub fn start_in(&self, lab: Lab) -> Bench {
        match self.origin {
            Origin::Embedded => {
                let daemon = self.settings(&lab).start();
                let store = daemon.client.default_store();
                Bench { daemon, store, lab }
            }
            Origin::Example => self.start_with(lab, &build::hello_driver()),
            Origin::Python => self.start_with(lab, &build::python_driver()),
        }
    }

    /// The same with a driver that has to be loaded.
    fn start_with(&self, lab: Lab, component: &[u8]) -> Bench {
        let daemon = Settings::new(&lab.root(), &lab.path("run"), "").start();
        let client = &daemon.client;
        client.load_driver(component).expect("load the example");
        let store = client.create_store("under-test", self.driver, &serde_json::json!({}));
        Bench {
            store: store.expect("make a store"),
            daemon,
            lab,
        }
    }

    /// How to start a daemon of this setup in a lab.
    pub fn settings(&self, lab: &Lab) -> Settings {
        Settings::new(&lab.root(), &lab.path("run"), self.driver)
    }
}

impl Bench {
    /// Notes how everything is, to see later whether it still is.
    pub fn watch(&self) -> Watch<'_> {
        Watch::begin(self)
    }

    /// Ends the daemon with `end` and starts it again.
    pub fn restart(self, end: impl FnOnce(Daemon)) -> Bench {
        let Bench { daemon, store, lab } = self;
        let settings = daemon.settings.clone();
        end(daemon);
        Bench {
            daemon: settings.start(),
            store,
            lab,
        }
    }
}
