//! A real dockerd runs its containers on Mica, as `examples/docker/run.sh` shows it to a user.

use std::fs;
use std::process::{Command, Stdio};

use mica_tests::build::{mica, repository};

#[track_caller]
fn example(driver: &str) {
    let work = tempfile::TempDir::with_prefix_in("mica-docker-", "/var/tmp").expect("a directory");
    let child = Command::new(repository().join("examples/docker/run.sh"))
        .arg(driver)
        .env("MICA", mica())
        .env("WORK", work.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the example");
    let group = format!("mica-example-{}", child.id());
    let output = child.wait_with_output().expect("wait for the example");
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains(&format!("worked on Mica's {driver}")),
        "{told}"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the table of mounts");
    let work = work.path().to_str().expect("a path that is text");
    assert!(!mounts.contains(work), "a mount is left: {mounts}");
    for controller in fs::read_dir("/sys/fs/cgroup")
        .expect("control groups")
        .flatten()
    {
        let left = controller.path().join(&group);
        assert!(!left.exists(), "{} is left", left.display());
    }
}

#[test]
fn a_dockerd_works_on_overlay_and_outlives_both_daemons_ends() {
    example("overlay");
}

#[test]
fn a_dockerd_works_on_btrfs_and_outlives_both_daemons_ends() {
    example("btrfs");
}
