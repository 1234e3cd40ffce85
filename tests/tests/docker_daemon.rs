//! A real dockerd runs its containers on Mica, as `examples/docker/run.sh` shows it to a user.

use std::fs;
use std::path::Path;
use std::process::Command;

use mica_tests::build::{mica, repository};

/// Control groups of the example that are still there.
fn groups(below: &Path) -> usize {
    let Ok(entries) = fs::read_dir(below) else {
        return 0;
    };
    let directories = entries.flatten().filter(|entry| entry.path().is_dir());
    directories
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("mica-example-")
        })
        .count()
}

#[track_caller]
fn example(driver: &str) {
    let work = tempfile::TempDir::with_prefix_in("mica-docker-", "/var/tmp").expect("a directory");
    let output = Command::new(repository().join("examples/docker/run.sh"))
        .arg(driver)
        .env("MICA", mica())
        .env("WORK", work.path())
        .output()
        .expect("start the example");
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
    let controllers = fs::read_dir("/sys/fs/cgroup").expect("control groups");
    let left: usize = controllers
        .flatten()
        .map(|entry| groups(&entry.path()))
        .sum();
    assert_eq!(left, 0, "control groups are left");
}

#[test]
fn a_dockerd_works_on_overlay_and_outlives_both_daemons_ends() {
    example("overlay");
}
