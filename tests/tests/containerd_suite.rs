//! containerd judges: its own snapshotter suite, the codes of its own snapshotters and the sizes that they tell, lists of
//! many pages, concurrent clients, and chains of 500 layers, all through containerd's own proxy client and mount code.

use mica_tests::containerd::Bench;
use mica_tests::containerd_suite::Suite;
use mica_tests::lab::FileSystem;

#[track_caller]
fn judge(file_system: FileSystem, driver: &str, peer: &str, deepest: u32) {
    let bench = Bench::start(file_system, driver);
    let suite = Suite {
        socket: &bench.socket,
        deepest,
        peer,
        beside: None,
    };
    suite.pass(&bench.lab);
    bench.assert_empty();
}

/// With as many layers as the kernel can stack; the other drivers stack none.
#[test]
fn overlay_passes() {
    judge(FileSystem::Ext4, "overlay", "overlayfs", 500);
}

#[test]
fn erofs_passes() {
    judge(FileSystem::Ext4, "erofs", "overlayfs", 500);
}

#[test]
fn btrfs_passes() {
    judge(FileSystem::Btrfs, "btrfs", "btrfs", 130);
}

#[test]
fn vfs_passes() {
    judge(FileSystem::Xfs, "vfs", "native", 130);
}
