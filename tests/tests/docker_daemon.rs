//! Real dockerds run their containers on Mica, as `examples/docker/run.sh` shows it to a user: the machine's own, and those of
//! Debian's later suites that `tests/setup/peers.sh` has unpacked. Up to 27 by the plugin protocol, from 28 on through a containerd.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mica_tests::build::{mica, peer, repository};

/// What is imported beside a busybox.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Imported {
    /// Nothing, because it takes its time.
    Nothing,
    /// A root file system of Debian, on which Mica's own image is built.
    Rootfs,
}

/// Runs the example with the programs in directories of `target/peers`, and with a registry; the first has the dockerd, unless
/// there is none and the machine's own runs.
#[track_caller]
fn example(driver: &str, through: &str, peers: &[&str], imported: Imported) {
    let work = tempfile::TempDir::with_prefix_in("mica-docker-", "/var/tmp").expect("a directory");
    let directories = [peers, &["docker-registry"]].concat();
    let rootfs = match imported {
        Imported::Nothing => Path::new("none").to_owned(),
        Imported::Rootfs => repository().join("target/demo/rootfs.tar"),
    };
    let child = Command::new(repository().join("examples/docker/run.sh"))
        .arg(driver)
        .args(directories.iter().map(|name| peer(name)))
        .env("MICA", mica())
        .env("WORK", work.path())
        .env("THROUGH", through)
        .env("ROOTFS", rootfs)
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
    let last = told.lines().last().unwrap_or_default();
    assert!(
        last.ends_with(&format!("worked on Mica's {driver} by {through}")),
        "{told}"
    );
    println!("{last}");
    if let Some(first) = peers.first() {
        let version = fs::read_to_string(peer(first).join("VERSION")).expect("a version");
        let version = version.split(['+', '~']).next().unwrap_or_default();
        assert!(last.contains(&format!("dockerd {version} ")), "{told}");
    }
    assert!(told.contains("push, remove, pull"), "{told}");
    let builds_mica = told.contains("build Mica's own image");
    assert_eq!(builds_mica, imported == Imported::Rootfs, "{told}");
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
    example("overlay", "plugin", &[], Imported::Rootfs);
}

#[test]
fn a_dockerd_works_on_btrfs_and_outlives_both_daemons_ends() {
    example("btrfs", "plugin", &[], Imported::Nothing);
}

#[test]
fn dockerd_26_works_on_overlay_by_its_plugin() {
    example(
        "overlay",
        "plugin",
        &["docker-26", "containerd-1.7"],
        Imported::Nothing,
    );
}

#[test]
fn dockerd_26_works_on_erofs_by_its_plugin() {
    example(
        "erofs",
        "plugin",
        &["docker-26", "containerd-1.7"],
        Imported::Nothing,
    );
}

#[test]
fn dockerd_28_works_on_overlay_through_containerd_2() {
    example(
        "overlay",
        "containerd",
        &["docker-28", "containerd-2"],
        Imported::Rootfs,
    );
}

#[test]
fn dockerd_28_works_on_erofs_through_containerd_2() {
    example(
        "erofs",
        "containerd",
        &["docker-28", "containerd-2"],
        Imported::Nothing,
    );
}

#[test]
fn dockerd_28_works_on_btrfs_through_containerd_2() {
    example(
        "btrfs",
        "containerd",
        &["docker-28", "containerd-2"],
        Imported::Nothing,
    );
}

#[test]
fn dockerd_28_works_on_vfs_through_containerd_2() {
    example(
        "vfs",
        "containerd",
        &["docker-28", "containerd-2"],
        Imported::Nothing,
    );
}
