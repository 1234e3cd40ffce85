//! containerd's own snapshotter suite, and what was added to it, as a program; see `tests/peers/containerd`.
//!
//! Invariant: the suite passes only if each of its tests has run: one that no longer exists is no pass.

use std::path::Path;
use std::process::Command;

use crate::build::{peers, repository};
use crate::lab::Lab;

/// What must have passed, each by its name.
const TESTS: &[&str] = &[
    "TestSnapshotterSuite/Basic",
    "TestSnapshotterSuite/StatActive",
    "TestSnapshotterSuite/StatComitted",
    "TestSnapshotterSuite/TransitivityTest",
    "TestSnapshotterSuite/PreareViewFailingtest",
    "TestSnapshotterSuite/Update",
    "TestSnapshotterSuite/Remove",
    "TestSnapshotterSuite/Walk",
    "TestSnapshotterSuite/LayerFileupdate",
    "TestSnapshotterSuite/RemoveDirectoryInLowerLayer",
    "TestSnapshotterSuite/Chown",
    "TestSnapshotterSuite/DirectoryPermissionOnCommit",
    "TestSnapshotterSuite/RemoveIntermediateSnapshot",
    "TestSnapshotterSuite/DeletedFilesInChildSnapshot",
    "TestSnapshotterSuite/MoveFileFromLowerLayer",
    "TestSnapshotterSuite/ViewReadonly",
    "TestSnapshotterSuite/StatInWalk",
    "TestSnapshotterSuite/CloseTwice",
    "TestSnapshotterSuite/RootPermission",
    "TestSnapshotterSuite/128LayersMount",
    "TestErrorTable",
    "TestManyAndBig",
    "TestDeepMount",
    "TestMappedOwners",
    "TestUsage",
];

/// A run of the suite.
#[derive(Debug, Clone, Copy)]
pub struct Suite<'a> {
    /// Mica's socket, or that of a containerd with a snapshotter `mica`.
    pub socket: &'a Path,
    /// Layers of the longest chain.
    pub deepest: u32,
    /// containerd's own snapshotter that is alike, for what layers take.
    pub peer: &'a str,
    /// The snapshotter of that containerd whose codes Mica must have; without one, those of a table.
    pub beside: Option<&'a str>,
}

impl Suite<'_> {
    /// Runs it; every test must pass. What it printed.
    #[track_caller]
    pub fn pass(&self, lab: &Lab) -> String {
        let program = peers("containerd", build).join("suite");
        let output = Command::new(program)
            .args(["-test.v", "-test.parallel=4"])
            .current_dir(lab.scratch("suite"))
            .env("SNAP_SOCKET", self.socket)
            .env("SNAP_DEEPEST", self.deepest.to_string())
            .env("SNAP_BESIDE", self.beside.unwrap_or_default())
            .env("SNAP_PEER", self.peer)
            .env("SNAP_PEER_ROOT", lab.path("fs/peer"))
            .env("TMPDIR", lab.scratch("mounts"))
            .output()
            .expect("start the suite");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}");
        for test in TESTS {
            assert!(
                told.contains(&format!("--- PASS: {test} ")),
                "{test}: {told}"
            );
        }
        told
    }
}

fn build(directory: &Path) {
    let script = repository().join("tests/peers/containerd/build.sh");
    let built = Command::new(script).arg(directory).output();
    let built = built.expect("start the build");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
}
