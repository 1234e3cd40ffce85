//! containerd judges: its own snapshotter suite, the codes of its own snapshotters and the sizes that they tell, lists of
//! many pages, concurrent clients, and chains of 500 layers, all through containerd's own proxy client and mount code.

use std::process::Command;

use mica_tests::build::{peers, repository};
use mica_tests::containerd::Bench;
use mica_tests::lab::FileSystem;

/// What must have passed, each by its name: a test that no longer runs is no pass.
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
    "TestUsage",
    "TestMappedOwners",
];

#[track_caller]
fn judge(file_system: FileSystem, driver: &str, peer: &str, deepest: u32) {
    let suite = peers("containerd", |directory| {
        let script = repository().join("tests/peers/containerd/build.sh");
        let built = Command::new(script).arg(directory).output();
        let built = built.expect("start the build");
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
    });
    let bench = Bench::start(file_system, driver);
    let output = Command::new(suite.join("suite"))
        .args(["-test.v", "-test.parallel=4"])
        .current_dir(bench.lab.scratch("suite"))
        .env("SNAP_SOCKET", &bench.socket)
        .env("SNAP_DEEPEST", deepest.to_string())
        .env("SNAP_PEER", peer)
        .env("SNAP_PEER_ROOT", bench.lab.path("fs/peer"))
        .env("TMPDIR", bench.lab.scratch("mounts"))
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
    bench.assert_empty();
}

/// With as many layers as the kernel can stack; the other drivers stack none.
#[test]
fn overlay_passes() {
    judge(FileSystem::Ext4, "overlay", "overlayfs", 500);
}

#[test]
fn btrfs_passes() {
    judge(FileSystem::Btrfs, "btrfs", "btrfs", 130);
}

#[test]
fn vfs_passes() {
    judge(FileSystem::Xfs, "vfs", "native", 130);
}
