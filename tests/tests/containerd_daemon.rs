//! A real containerd runs its containers on Mica, as `examples/containerd/run.sh` shows it to a user.

use std::fs;
use std::process::Command;

use mica_tests::build::{mica, repository};

#[track_caller]
fn example(driver: &str) {
    let work = tempfile::TempDir::with_prefix_in("mica-test-", "/var/tmp").expect("a directory");
    let output = Command::new(repository().join("examples/containerd/run.sh"))
        .arg(driver)
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
    let left = fs::read_dir(work.path()).expect("list").count();
    assert_eq!(left, 0, "files are left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the table of mounts");
    let work = work.path().to_str().expect("a path that is text");
    assert!(!mounts.contains(work), "a mount is left: {mounts}");
}

#[test]
fn a_containerd_works_on_btrfs() {
    example("btrfs");
}

#[test]
fn a_containerd_works_on_vfs() {
    example("vfs");
}

#[test]
fn a_containerd_works_on_overlay_and_outlives_both_daemons_ends() {
    example("overlay");
}
