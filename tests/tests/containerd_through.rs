//! containerd judges through itself: its own snapshotter suite, run against the snapshot service of a real containerd
//! that has Mica as its snapshotter, as containerd's authors run it against the snapshotters that are built in.
//!
//! All tests of `containerd_suite.rs` run here, too. What lies between changes what can be asked, not what must hold:
//!
//! - containerd's metadata store has the names and labels and answers most wrong calls itself, so the error table asks
//!   for the codes that its own overlayfs snapshotter gets through the same containerd.
//! - `Cleanup` is for its garbage collection; no client can call it, with any snapshotter.
//! - A removed snapshot is only forgotten until the garbage is collected, so that Mica's store is empty only then.
//! - `Rename` is skipped by the suite itself, as everywhere.

use mica_tests::containerd::Bench;
use mica_tests::containerd_daemon::{Containerd, Interface};
use mica_tests::containerd_suite::Suite;
use mica_tests::lab::FileSystem;

#[track_caller]
fn judge(file_system: FileSystem, driver: &str, peer: &str, deepest: u32) {
    let bench = Bench::start(file_system, driver);
    let containerd = Containerd::start(&bench, Interface::Own);
    let snapshots = ["snapshots", "--snapshotter", "mica"];
    let snapshots = |rest: &[&str]| containerd.ctr("own", &[&snapshots, rest].concat());
    snapshots(&["prepare", "seen"]);
    let lines = bench.client().lines();
    assert!(
        matches!(&lines[..], [line] if line.contains(r#"ACTIVE "own/1/seen""#)),
        "containerd does not use Mica: {lines:?}"
    );
    snapshots(&["rm", "seen"]);

    let suite = Suite {
        socket: &containerd.socket(),
        deepest,
        peer,
        beside: Some("overlayfs"),
    };
    suite.pass(&bench.lab);
    containerd.collect_garbage();
    bench.assert_empty();
    containerd.stop();
}

/// With as many layers as the kernel can stack; the other drivers stack none.
#[test]
fn overlay_passes_through_a_containerd() {
    judge(FileSystem::Ext4, "overlay", "overlayfs", 500);
}

#[test]
fn erofs_passes_through_a_containerd() {
    judge(FileSystem::Ext4, "erofs", "overlayfs", 500);
}

#[test]
fn btrfs_passes_through_a_containerd() {
    judge(FileSystem::Btrfs, "btrfs", "btrfs", 130);
}

#[test]
fn vfs_passes_through_a_containerd() {
    judge(FileSystem::Xfs, "vfs", "native", 130);
}
