//! Real containerds run their containers on Mica, as `examples/containerd/run.sh` shows it to a user: the machine's own, and
//! those of Debian's later suites that `tests/setup/peers.sh` has unpacked.

use std::fs;
use std::process::Command;

use mica_tests::build::{mica, peer as unpacked, repository};

/// Runs the example with the containerd in a directory of `target/peers`, or the machine's own, and with a registry.
#[track_caller]
fn example(driver: &str, peer: Option<&str>) {
    let peer = peer.map(unpacked);
    let work = tempfile::TempDir::with_prefix_in("mica-test-", "/var/tmp").expect("a directory");
    let output = Command::new(repository().join("examples/containerd/run.sh"))
        .arg(driver)
        .args(peer)
        .arg(unpacked("docker-registry"))
        .env("MICA", mica())
        .env("TMPDIR", work.path())
        .output()
        .expect("start the example");
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains(&format!("all of it works with driver {driver}")),
        "{told}"
    );
    assert!(told.contains("push, remove, pull"), "{told}");
    let left = fs::read_dir(work.path()).expect("list").count();
    println!("{}", told.lines().last().unwrap_or_default());
    assert_eq!(left, 0, "files are left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the table of mounts");
    let work = work.path().to_str().expect("a path that is text");
    assert!(!mounts.contains(work), "a mount is left: {mounts}");
}

#[test]
fn a_containerd_works_on_btrfs() {
    example("btrfs", None);
}

#[test]
fn a_containerd_works_on_vfs() {
    example("vfs", None);
}

#[test]
fn a_containerd_works_on_overlay_and_outlives_both_daemons_ends() {
    example("overlay", None);
}

/// From 1.7.4 on a containerd has its layers unpacked by Mica, too.
mod peers {
    use super::example;

    #[test]
    fn containerd_1_7_unpacks_by_mica_on_overlay() {
        example("overlay", Some("containerd-1.7"));
    }

    #[test]
    fn containerd_1_7_unpacks_by_mica_on_btrfs() {
        example("btrfs", Some("containerd-1.7"));
    }

    #[test]
    fn containerd_1_7_unpacks_by_mica_on_vfs() {
        example("vfs", Some("containerd-1.7"));
    }

    #[test]
    fn containerd_2_unpacks_by_mica_on_overlay() {
        example("overlay", Some("containerd-2"));
    }

    #[test]
    fn containerd_2_unpacks_by_mica_on_btrfs() {
        example("btrfs", Some("containerd-2"));
    }

    #[test]
    fn containerd_2_unpacks_by_mica_on_erofs() {
        example("erofs", Some("containerd-2"));
    }

    #[test]
    fn containerd_2_unpacks_by_mica_on_vfs() {
        example("vfs", Some("containerd-2"));
    }
}
