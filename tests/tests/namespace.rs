//! Overlay without root's rights: in a user namespace, with `user.overlay.*` attributes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::client::{Against, Store};
use mica_tests::daemon::Daemon;
use mica_tests::dump::{as_archived, nodes, print};
use mica_tests::lab::Lab;
use mica_tests::setup::{self, Setup};
use mica_tests::tree;

/// A daemon in a user namespace in which only root exists; `None`, and why, where the kernel has none to give.
fn start(setup: &Setup, lab: &Lab) -> Option<Daemon> {
    let probe = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no user namespace: {probe:?}");
        assert!(
            std::env::var_os("CI").is_none(),
            "user namespaces must work here: {probe:?}"
        );
        return None;
    }
    let mut settings = setup.settings(lab);
    settings.wrapper = ["unshare", "--user", "--map-root-user", "--mount"]
        .map(str::to_owned)
        .to_vec();
    Some(settings.start())
}

/// A path as the daemon sees it.
fn inside(daemon: &Daemon, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), path.display()))
}

fn tree_of(daemon: &Daemon, store: &Store, id: &str) -> String {
    let path = store
        .view(id)
        .unwrap_or_else(|problem| panic!("view `{id}`: {problem:?}"));
    let seen = print(&as_archived(&nodes(&inside(daemon, &path))));
    store.unmount(id).expect("unmount");
    seen
}

fn life(setup: &Setup) {
    let lab = Lab::on(setup.file_system);
    let Some(daemon) = start(setup, &lab) else {
        return;
    };
    let store = daemon.client.default_store();
    let scripts = [
        "d d mode=750\nf d/kept data=1 x:user.a=b\nf d/gone data=2\nd e\nf e/below data=3\nl l to=d/kept\nf a data=1\nh b to=a",
        "w d/kept data=changed\n- d/gone\n- e\nd e\nf e/new data=4\nf new fill=70000\np pipe mode=600",
    ];
    let model = lab.scratch("model");
    let (mut parent, mut copy_parent): (Option<String>, Option<String>) = (None, None);
    for (number, script) in scripts.iter().enumerate() {
        let (id, copy) = (format!("l{number}"), format!("c{number}"));
        store.create(&id, parent.as_deref()).expect("create");
        let path = store
            .mount(&id)
            .unwrap_or_else(|problem| panic!("mount: {problem:?}: {}", daemon.log()));
        tree::build(&inside(&daemon, &path), script);
        tree::build(&model, script);
        store.unmount(&id).expect("unmount");
        let expected = print(&as_archived(&nodes(&model)));
        assert_eq!(tree_of(&daemon, &store, &id), expected);
        let diff = store.diff(&id, Against::Parent).expect("diff");
        store.create(&copy, copy_parent.as_deref()).expect("create");
        store
            .apply(&copy, &diff)
            .unwrap_or_else(|problem| panic!("apply: {problem:?}"));
        assert_eq!(
            tree_of(&daemon, &store, &copy),
            expected,
            "{}",
            mica_tests::listing::lines(&diff)
        );
        assert!(store.diff(&copy, Against::Parent).expect("diff") == diff);
        (parent, copy_parent) = (Some(id), Some(copy));
    }
    let expected = "C /d\nD /d/gone\nC /d/kept\nC /e\nD /e/below\nA /e/new\nA /new\nA /pipe\n";
    assert_eq!(
        store.changes("l1", Against::Parent).expect("changes"),
        expected
    );
    for id in ["l1", "c1", "l0", "c0"] {
        store.remove(id).expect("remove");
    }
    mica_tests::watch::swept(&lab.home("default"));
    assert_eq!(
        fs::read_dir(lab.home("default").join("layers"))
            .expect("layers")
            .count(),
        0
    );
}

#[test]
fn overlay_works_without_rights() {
    life(&setup::OVERLAY_EXT4);
}

#[test]
fn vfs_works_without_rights() {
    life(&setup::VFS_EXT4);
}

#[test]
fn btrfs_works_without_rights() {
    life(&setup::BTRFS);
}

/// FEATURES 2.4: moby leaves device nodes out in a user namespace, and says nothing. Here the entry is named.
#[test]
fn device_nodes_of_a_user_namespace_are_refused_by_name() {
    let lab = Lab::on(setup::VFS_EXT4.file_system);
    let Some(daemon) = start(&setup::VFS_EXT4, &lab) else {
        return;
    };
    let store = daemon.client.default_store();
    store.create("one", None).expect("create");
    let archive = mica_tests::archive::archive("f f data=1\nc null rdev=1:3 mode=666");
    let problem = store
        .apply("one", &archive)
        .expect_err("the kernel allows none");
    assert!(problem.detail.contains("null"), "{problem:?}");
    assert_eq!(store.changes("one", Against::Nothing).expect("changes"), "");
}
