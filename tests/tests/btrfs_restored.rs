//! Roots on btrfs that were rolled back or restored: what is lost is named, and an empty directory is never a layer.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::history::seen;
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
use mica_tests::watch::swept;
use serde_json::{Value, json};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn btrfs(arguments: &[&str]) {
    run(&[&["btrfs", "-q"], arguments].concat());
}

/// A daemon whose root is a subvolume, with a base and its child.
fn started() -> Bench {
    let lab = Lab::on(FileSystem::Btrfs);
    btrfs(&["subvolume", "create", text(&lab.root())]);
    let bench = setup::BTRFS.start_in(lab);
    for (id, parent) in [("base", None), ("child", Some("base"))] {
        bench.store.create(id, parent).expect("create");
        let path = bench.store.mount(id).expect("mount");
        tree::build(&path, &format!("d {id}\nf {id}/file data={id}"));
        bench.store.unmount(id).expect("unmount");
    }
    bench
}

/// The subvolume of a layer.
fn place(bench: &Bench, id: &str) -> PathBuf {
    let directories = fs::read_dir(bench.lab.home("default").join("layers")).expect("list");
    let mut layers = directories.flatten().map(|entry| entry.path());
    let is_wanted = |layer: &PathBuf| {
        let record = fs::read_to_string(layer.join("record.json")).expect("a record");
        serde_json::from_str::<Value>(&record).expect("JSON")["id"] == json!(id)
    };
    layers.find(is_wanted).expect("the layer").join("d/tree")
}

/// Puts a copy of the root in its place while no daemon runs: `copy` makes it at a path.
fn replaced(bench: Bench, copy: impl FnOnce(&Path, &Path)) -> Bench {
    let (root, old) = (bench.lab.root(), bench.lab.path("fs/old"));
    bench.restart(|daemon| {
        drop(daemon);
        fs::rename(&root, &old).expect("rename");
        copy(&old, &root);
    })
}

/// Panics unless every use of both layers is refused by name, and the status tells it.
fn check_lost(bench: &Bench, what: &str) {
    let status = bench.daemon.client.get("/v1/status").expect("status");
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("and 1 more are not served") && problems.contains(what),
        "{status}"
    );
    let store = &bench.store;
    for id in ["base", "child"] {
        let answers = [
            ("view", store.view(id).err()),
            ("a child", store.create(&format!("of-{id}"), Some(id)).err()),
            ("diff", store.diff(id, Against::Nothing).err()),
            ("changes", store.changes(id, Against::Nothing).err()),
            ("size", store.size(id, Against::Nothing).err()),
            (
                "metadata",
                bench
                    .daemon
                    .client
                    .get(&store.target(id, "/metadata"))
                    .err(),
            ),
            (
                "usage",
                bench.daemon.client.get(&store.target(id, "/usage")).err(),
            ),
        ];
        for (doing, problem) in answers {
            let problem = problem.unwrap_or_else(|| panic!("{doing} of `{id}` worked"));
            let told = &problem.detail;
            assert!(
                told.contains(&format!("`{id}`")) && told.contains(what),
                "{doing}: {told}"
            );
        }
    }
    for problem in [
        store.mount("child").err(),
        store.apply("child", &archive("f new data=1")).err(),
    ] {
        let told = problem.expect("what is lost was changed").detail;
        assert!(told.contains("`child`") && told.contains(what), "{told}");
    }
}

/// Panics unless layers can be made and used as ever.
fn check_works(bench: &Bench) {
    bench.store.create("new", None).expect("create");
    bench
        .store
        .apply("new", &archive("f new data=1"))
        .expect("apply");
    assert!(seen(&bench.store, "new").contains("/new f"));
    bench.store.remove("new").expect("remove");
}

#[test]
fn a_root_that_was_rolled_back_serves_no_empty_layers() {
    let bench = started();
    let whole = ["base", "child"].map(|id| seen(&bench.store, id));
    // As snapper and timeshift do it.
    let bench = replaced(bench, |old, root| {
        btrfs(&["subvolume", "snapshot", text(old), text(root)])
    });
    let inode = fs::metadata(place(&bench, "base")).expect("stat").ino();
    assert_eq!(inode, 2, "a snapshot shows something else now");
    check_lost(&bench, "its subvolume `tree` is missing");
    check_works(&bench);
    // The subvolumes of the old root are brought back, one moved, one as a snapshot of a snapshot.
    let old = |id: &str| {
        let place = place(&bench, id);
        let way = place
            .strip_prefix(bench.lab.root())
            .expect("within the root");
        bench.lab.path("fs/old").join(way)
    };
    for id in ["base", "child"] {
        fs::remove_dir(place(&bench, id)).expect("remove");
    }
    fs::rename(old("base"), place(&bench, "base")).expect("move");
    let backup = bench.lab.path("fs/backup");
    btrfs(&[
        "subvolume",
        "snapshot",
        "-r",
        text(&old("child")),
        text(&backup),
    ]);
    btrfs(&[
        "subvolume",
        "snapshot",
        text(&backup),
        text(&place(&bench, "child")),
    ]);
    assert_eq!(["base", "child"].map(|id| seen(&bench.store, id)), whole);
    let bench = bench.restart(drop);
    let status = bench.daemon.client.get("/v1/status").expect("status");
    assert_eq!(status["problems"], json!([]), "{status}");
    assert_eq!(
        bench
            .store
            .changes("child", Against::Parent)
            .expect("changes"),
        "A /child\nA /child/file\n"
    );
    // What an apply puts in its place is the layer's own from then on.
    bench
        .store
        .apply("child", &archive("f more data=1"))
        .expect("apply");
    bench
        .store
        .apply("child", &archive("f again data=1"))
        .expect("apply");
    check_works(&bench);
}

#[test]
fn a_root_that_was_received_serves_no_empty_layers_and_they_can_be_received_too() {
    let bench = started();
    let whole = ["base", "child"].map(|id| seen(&bench.store, id));
    let streams = bench.lab.scratch("streams");
    let into = bench.lab.path("fs/received");
    fs::create_dir(&into).expect("make a directory");
    let copy = |from: &Path, to: &Path| {
        let (closed, stream) = (into.join("closed"), streams.join("stream"));
        btrfs(&["subvolume", "snapshot", "-r", text(from), text(&closed)]);
        btrfs(&["send", "-f", text(&stream), text(&closed)]);
        btrfs(&["subvolume", "delete", text(&closed)]);
        btrfs(&["receive", "-f", text(&stream), text(&into)]);
        btrfs(&["subvolume", "snapshot", text(&closed), text(to)]);
        btrfs(&["subvolume", "delete", text(&closed)]);
    };
    let bench = replaced(bench, copy);
    assert!(
        !place(&bench, "base").exists(),
        "send holds what it did not"
    );
    check_lost(&bench, "its subvolume `tree` is missing");
    for id in ["base", "child"] {
        let place = place(&bench, id);
        let way = place
            .strip_prefix(bench.lab.root())
            .expect("within the root");
        // What was received is known by what it was made from; what was made from a snapshot, by that one's original.
        btrfs(&[
            "property",
            "set",
            "-ts",
            text(&bench.lab.path("fs/old").join(way)),
            "ro",
            "true",
        ]);
        let stream = streams.join(id);
        btrfs(&[
            "send",
            "-f",
            text(&stream),
            text(&bench.lab.path("fs/old").join(way)),
        ]);
        btrfs(&[
            "receive",
            "-f",
            text(&stream),
            text(place.parent().expect("a room")),
        ]);
    }
    assert_eq!(["base", "child"].map(|id| seen(&bench.store, id)), whole);
    assert_eq!(
        bench
            .store
            .changes("child", Against::Parent)
            .expect("changes"),
        "A /child\nA /child/file\n"
    );
}

#[test]
fn another_subvolume_or_a_directory_is_not_taken_for_a_layer() {
    let bench = started();
    let whole = seen(&bench.store, "base");
    let tree = place(&bench, "base");
    let kept = bench.lab.path("fs/kept");
    fs::rename(&tree, &kept).expect("move away");
    let refused = |what: &str| {
        let told = bench.store.view("base").expect_err(what).detail;
        assert!(told.contains("`base`") && told.contains(what), "{told}");
    };
    btrfs(&["subvolume", "create", text(&tree)]);
    refused("another subvolume is in the place");
    btrfs(&["subvolume", "delete", text(&tree)]);
    fs::create_dir(&tree).expect("make a directory");
    refused("a directory without it is in its place");
    // A layer of an earlier version, of which nothing is noted.
    let room = tree.parent().expect("a room");
    run(&["setfattr", "-x", "trusted.mica.subvolume.tree", text(room)]);
    refused("the subvolume `tree` of layer `base` is missing");
    fs::remove_dir(&tree).expect("remove");
    fs::rename(&kept, &tree).expect("move back");
    assert_eq!(seen(&bench.store, "base"), whole);
}

#[test]
fn lost_layers_can_be_removed() {
    let bench = started();
    let bench = replaced(bench, |old, root| {
        btrfs(&["subvolume", "snapshot", text(old), text(root)])
    });
    for id in ["child", "base"] {
        bench.store.remove(id).expect("remove");
    }
    swept(&bench.lab.home("default"));
    let listed = Command::new("ls")
        .arg(bench.lab.home("default").join("layers"))
        .output();
    assert!(listed.expect("ls").stdout.is_empty());
    check_works(&bench);
    let bench = bench.restart(drop);
    let status = bench.daemon.client.get("/v1/status").expect("status");
    assert_eq!(status["problems"], json!([]), "{status}");
}
