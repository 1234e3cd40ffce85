//! Docker judges: moby's graphtest suite, built from moby's sources, drives Mica through moby's own plugin proxy.

use std::process::Command;

use mica_tests::docker::{Bench, peer};
use mica_tests::lab::FileSystem;

/// What the suite must have passed, each by its name: one that no longer runs is no pass.
const TESTS: &[&str] = &[
    "TestCreateEmpty",
    "TestCreateBase",
    "TestCreateSnap",
    "TestDeepLayerRead",
    "TestDiffApply10",
    "TestDiffApply1000",
    "TestChanges",
    "TestTeardown",
];

#[track_caller]
fn judge(file_system: FileSystem, driver: &str, more: &[&str]) {
    let suite = peer("graphtest");
    let bench = Bench::start(file_system);
    let mut command = Command::new(suite);
    command
        .arg("-test.v")
        .current_dir(bench.lab.scratch("suite"))
        .env("GRAPHTEST_SOCKET", &bench.plugin.socket)
        .env("GRAPHTEST_HOME", bench.lab.scratch("homes"))
        .env("GRAPHTEST_OPTS", format!("mica.driver={driver}"));
    if more.contains(&"TestSetQuota") {
        command.env("GRAPHTEST_QUOTA", "required");
    }
    let output = command.output().expect("start the suite");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    for test in TESTS.iter().chain(more) {
        assert!(
            told.contains(&format!("--- PASS: {test} ")),
            "{test}: {told}"
        );
    }
    let store = bench
        .daemon
        .client
        .get("/v1/stores/docker")
        .expect("the store");
    assert_eq!(store["driver"], driver);
    assert_eq!(store["mounts"], 0, "the suite gave everything back");
}

#[test]
fn overlay_on_ext4_passes() {
    judge(FileSystem::Ext4, "overlay", &[]);
}

#[test]
fn overlay_on_xfs_passes() {
    judge(FileSystem::Xfs, "overlay", &[]);
}

#[test]
fn erofs_passes() {
    judge(FileSystem::Ext4, "erofs", &[]);
}

#[test]
fn vfs_passes() {
    judge(FileSystem::Ext4, "vfs", &[]);
}
