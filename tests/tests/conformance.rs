//! One suite for every driver: the union of what Docker's graphtest, containerd's snapshotter suite and the tests of
//! moby's archive package ask for. The histories are in `host/cases`. A driver joins by one line for each file system;
//! one that ships with Mica and has no line is played as well, where it works.

use std::fs;

use mica_tests::client::Against;
use mica_tests::dump::dump;
use mica_tests::history::{History, play, seen};
use mica_tests::lab::FileSystem;
use mica_tests::setup::{self, Bench, Changes, Origin, Setup};
use mica_tests::tree;
use serde_json::json;

/// One line, and a driver has the whole suite.
macro_rules! conformance {
    ($($name:ident: $setup:expr;)*) => {
        /// Every line.
        const LISTED: &[Setup] = &[$($setup),*];
        $(
        mod $name {
            use super::setup;

            #[test]
            fn follows_every_history() { super::histories(&$setup); }
            #[test]
            fn behaves_as_the_interface_says() { super::behaviour(&$setup); }
        }
    )* };
}

conformance! {
    overlay_on_ext4: setup::OVERLAY_EXT4;
    overlay_on_xfs: setup::OVERLAY_XFS;
    overlay_on_btrfs: setup::OVERLAY_BTRFS;
    erofs_on_ext4: setup::EROFS_EXT4;
    erofs_on_xfs: setup::EROFS_XFS;
    erofs_on_btrfs: setup::EROFS_BTRFS;
    vfs_on_ext4: setup::VFS_EXT4;
    vfs_on_xfs: setup::VFS_XFS;
    vfs_on_btrfs: setup::VFS_BTRFS;
    vfs_on_tmpfs: setup::VFS_TMPFS;
    btrfs: setup::BTRFS;
    hello_on_ext4: setup::HELLO_EXT4;
    python_on_ext4: setup::PYTHON_EXT4;
}

/// Drivers of the program that have no line, each on a file system where it works.
fn unlisted() -> Vec<Setup> {
    let mut found: Vec<Setup> = Vec::new();
    for file_system in [FileSystem::Ext4, FileSystem::Btrfs] {
        let setup = Setup {
            file_system,
            ..setup::VFS_EXT4
        };
        let bench = setup.start();
        let client = &bench.daemon.client;
        let drivers = client.get("/v1/drivers").expect("drivers");
        let drivers = drivers["drivers"].as_array().expect("a list").iter();
        let embedded = drivers.filter(|driver| driver["origin"] == "embedded");
        let names: Vec<_> = embedded
            .filter_map(|driver| driver["name"].as_str())
            .collect();
        for setup in LISTED
            .iter()
            .filter(|setup| setup.origin == Origin::Embedded)
        {
            assert!(
                names.contains(&setup.driver),
                "no driver `{}`",
                setup.driver
            );
        }
        for name in names {
            let known = LISTED.iter().chain(&found);
            if known.map(|setup| setup.driver).any(|driver| driver == name) {
                continue;
            }
            let Ok(store) = client.create_store(name, name, &json!({})) else {
                continue;
            };
            store.create("one", None).expect("create");
            let told = client.get(&store.target("one", "/metadata"));
            let is_stacked = !told.expect("metadata")["metadata"]["UpperDir"].is_null();
            found.push(Setup {
                driver: name.to_owned().leak(),
                changes: match is_stacked {
                    true => Changes::Native,
                    false => Changes::Compared,
                },
                ..setup
            });
        }
    }
    found
}

#[test]
fn no_driver_of_the_program_is_left_out() {
    for setup in unlisted() {
        println!("{setup:?}");
        histories(&setup);
        behaviour(&setup);
    }
}

fn histories(setup: &Setup) {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let bench = setup.start();
    let mut failed = Vec::new();
    for case in mica_cases::histories()
        .into_iter()
        .filter(|case| case.name.contains(&wanted))
    {
        let mica_cases::History {
            name,
            steps,
            changes,
            native_changes,
            ..
        } = case;
        let trimmed = |text: String| text.trim().to_owned();
        let history = History {
            name: name.clone(),
            steps,
            changes: changes.map(trimmed),
            native_changes: native_changes.map(trimmed),
        };
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            play(&bench, setup, &history)
        }));
        if played.is_err() {
            failed.push(name);
            clear(&bench);
        }
    }
    assert!(
        failed.is_empty(),
        "{}: failed: {failed:?} (CASE=name runs one)",
        setup.driver
    );
}

/// Removes what a failed case left, so that the next one begins on an empty store.
fn clear(bench: &Bench) {
    for id in bench.store.ids() {
        while bench.store.unmount(&id).is_ok() {}
    }
    while bench
        .store
        .ids()
        .iter()
        .any(|id| bench.store.remove(id).is_ok())
    {}
}

fn behaviour(setup: &Setup) {
    let bench = setup.start();
    let watch = bench.watch();
    an_empty_layer_is_an_empty_directory(&bench);
    a_mount_is_made_once_and_counted(&bench);
    a_view_cannot_be_changed(&bench);
    layers_of_one_parent_are_apart(&bench);
    a_layer_in_the_middle_stays(&bench);
    a_read_write_layer_is_a_layer(&bench);
    many_layers(&bench, if setup.driver == "overlay" { 128 } else { 20 });
    metadata_and_status(&bench);
    watch.check();
}

/// Docker graphtest CreateEmpty.
fn an_empty_layer_is_an_empty_directory(bench: &Bench) {
    let store = &bench.store;
    store
        .inspect("empty")
        .expect_err("there is no layer yet")
        .is(404, "unknown-layer", "empty");
    let layer = store.create("empty", None).expect("create");
    assert_eq!(
        (layer["id"].as_str(), layer["depth"].as_u64()),
        (Some("empty"), Some(1)),
        "{layer}"
    );
    assert_eq!(store.inspect("empty").expect("inspect")["id"], "empty");
    let path = store.mount("empty").expect("mount");
    let seen = dump(&path);
    assert!(
        seen.starts_with("/ d 0755 0:0 ") && seen.lines().count() == 1,
        "{seen}"
    );
    assert_eq!(store.unmount("empty").expect("unmount"), 0);
    store.remove("empty").expect("remove");
    store
        .inspect("empty")
        .expect_err("it is gone")
        .is(404, "unknown-layer", "empty");
}

/// Docker graphtest's reference count; FEATURES 6.2 no. 18.
fn a_mount_is_made_once_and_counted(bench: &Bench) {
    let (store, lab) = (&bench.store, &bench.lab);
    store.create("counted", None).expect("create");
    let request = json!({ "access": "read-write" });
    let first = store.mount_as("counted", &request).expect("mount");
    let table = lab.mount_table();
    let second = store.mount_as("counted", &request).expect("mount again");
    assert_eq!(first["path"], second["path"]);
    assert_eq!(
        (first["references"].as_u64(), second["references"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(lab.mount_table(), table, "the second mount made a mount");
    store
        .remove("counted")
        .expect_err("it is mounted")
        .is(409, "mounted", "counted");
    assert_eq!(store.unmount("counted").expect("unmount"), 1);
    assert_eq!(
        lab.mount_table(),
        table,
        "the first unmount took the mount away"
    );
    assert_eq!(store.unmount("counted").expect("unmount"), 0);
    let path = first["path"].as_str().expect("a path");
    assert!(!lab.mount_table().contains(path), "still mounted");
    store
        .unmount("counted")
        .expect_err("nothing to unmount")
        .is(409, "not-mounted", "counted");
    store.remove("counted").expect("remove");
}

/// containerd snapshotter suite ViewReadonly.
fn a_view_cannot_be_changed(bench: &Bench) {
    let store = &bench.store;
    for (id, parent, script) in [
        ("view-1", None, "f f data=1"),
        ("view-2", Some("view-1"), "f g data=2"),
    ] {
        store.create(id, parent).expect("create");
        let path = store.mount(id).expect("mount");
        tree::build(&path, script);
        store.unmount(id).expect("unmount");
        let path = store.view(id).expect("view");
        for name in ["f", "new"] {
            let error = fs::write(path.join(name), "changed").expect_err("a view is read-only");
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ReadOnlyFilesystem,
                "{id}/{name}"
            );
        }
        let wrong = store
            .mount_as(id, &json!({ "access": "read-write" }))
            .expect_err("it is mounted read-only");
        assert_eq!(wrong.status, 409, "{wrong:?}");
        assert_eq!(store.unmount(id).expect("unmount"), 0);
    }
    store.remove("view-2").expect("remove");
    store.remove("view-1").expect("remove");
}

/// containerd snapshotter suite Transitivity: siblings do not see one another.
fn layers_of_one_parent_are_apart(bench: &Bench) {
    let store = &bench.store;
    store.create("base", None).expect("create");
    tree::build(&store.mount("base").expect("mount"), "f common data=1");
    store.unmount("base").expect("unmount");
    let before = seen(store, "base");
    let mut paths = Vec::new();
    for id in ["left", "right"] {
        store.create(id, Some("base")).expect("create");
        paths.push(store.mount(id).expect("mount"));
    }
    tree::build(&paths[0], "f common data=left\nf only-left data=1");
    tree::build(&paths[1], "- common\nf only-right data=1");
    assert_eq!(fs::read(paths[0].join("common")).expect("read"), b"left");
    assert!(!paths[0].join("only-right").exists() && !paths[1].join("common").exists());
    for id in ["left", "right"] {
        store.unmount(id).expect("unmount");
    }
    let other = store
        .changes("left", Against::Layer("right"))
        .expect("changes between siblings");
    assert_eq!(other, "A /common\nA /only-left\nD /only-right\n");
    assert_eq!(seen(store, "base"), before, "a child changed its parent");
    store
        .remove("base")
        .expect_err("it has children")
        .is(409, "has-children", "base");
    for id in ["left", "right", "base"] {
        store.remove(id).expect("remove");
    }
}

/// containerd snapshotter suite RemoveIntermediateSnapshot.
fn a_layer_in_the_middle_stays(bench: &Bench) {
    let store = &bench.store;
    for (id, parent) in [
        ("bottom", None),
        ("middle", Some("bottom")),
        ("top", Some("middle")),
    ] {
        store.create(id, parent).expect("create");
        tree::build(&store.mount(id).expect("mount"), &format!("f {id} data=1"));
        store.unmount(id).expect("unmount");
    }
    store
        .remove("middle")
        .expect_err("it has a child")
        .is(409, "has-children", "top");
    let path = store.mount("top").expect("mount");
    store
        .remove("top")
        .expect_err("it is mounted")
        .is(409, "mounted", "top");
    assert!(path.join("bottom").exists() && path.join("middle").exists());
    store.unmount("top").expect("unmount");
    for id in ["top", "middle", "bottom"] {
        store.remove(id).expect("remove");
    }
}

fn a_read_write_layer_is_a_layer(bench: &Bench) {
    let store = &bench.store;
    store.create("image", None).expect("create");
    tree::build(
        &store.mount("image").expect("mount"),
        "d etc\nf etc/passwd data=root",
    );
    store.unmount("image").expect("unmount");
    let layer = store
        .create_read_write("container", Some("image"))
        .expect("create");
    assert_eq!(layer["kind"], "read-write");
    let path = store.mount("container").expect("mount");
    tree::build(&path, "f etc/shadow data=secret");
    store.unmount("container").expect("unmount");
    assert_eq!(
        store
            .changes("container", Against::Parent)
            .expect("changes"),
        "C /etc\nA /etc/shadow\n"
    );
    store.remove("container").expect("remove");
    store.remove("image").expect("remove");
}

/// Docker graphtest DeepLayerRead with 128 layers, containerd's 128LayersMount.
fn many_layers(bench: &Bench, count: usize) {
    let store = &bench.store;
    let id = |number: usize| format!("deep-{number}");
    for number in 0..count {
        let parent = number.checked_sub(1).map(id);
        store
            .create(&id(number), parent.as_deref())
            .expect("create");
        let path = store.mount(&id(number)).expect("mount");
        fs::write(path.join(format!("f{number}")), id(number)).expect("write");
        fs::write(path.join("last"), id(number)).expect("write");
        assert_eq!(store.unmount(&id(number)).expect("unmount"), 0);
    }
    let last = id(count - 1);
    let path = store.view(&last).expect("view");
    for number in 0..count {
        assert_eq!(
            fs::read_to_string(path.join(format!("f{number}"))).expect("read"),
            id(number)
        );
    }
    assert_eq!(fs::read_to_string(path.join("last")).expect("read"), last);
    store.unmount(&last).expect("unmount");
    assert_eq!(store.inspect(&last).expect("inspect")["depth"], count);
    let changes = store.changes(&last, Against::Parent).expect("changes");
    assert_eq!(changes, format!("A /f{}\nC /last\n", count - 1));
    for number in (0..count).rev() {
        store.remove(&id(number)).expect("remove");
    }
}

fn metadata_and_status(bench: &Bench) {
    let store = &bench.store;
    store.create("described", None).expect("create");
    let metadata = bench
        .daemon
        .client
        .get(&store.target("described", "/metadata"))
        .expect("metadata");
    let metadata = metadata["metadata"].as_object().expect("an object").clone();
    let (home, run) = (bench.lab.root(), bench.lab.path("run"));
    for (key, value) in metadata.iter().filter(|(key, _)| key.ends_with("Dir")) {
        let value = value.as_str().expect("a path");
        let below = if key == "MergedDir" { &run } else { &home };
        assert!(
            value
                .split(':')
                .all(|path| std::path::Path::new(path).starts_with(below)),
            "{key} = {value}"
        );
    }
    let view = bench
        .daemon
        .client
        .get(&format!("/v1/stores/{}", store.name))
        .expect("a store");
    assert_eq!(view["name"], store.name.as_str(), "{view}");
    store.remove("described").expect("remove");
}
