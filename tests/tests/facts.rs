//! What is told of file systems, stores and layers: the original's FsMagic and moby's keys. FEATURES 1.1, 2.2, 2.3.

use std::fs;
use std::path::Path;

use mica_tests::archive::archive;
use mica_tests::command::{mica, mica_alone};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
use serde_json::{Value, json};

#[test]
fn file_systems_are_told_by_the_original_s_names_and_numbers() {
    for (file_system, name, magic, constant) in [
        (FileSystem::Ext4, "extfs", 0xef53_u32, "FsMagicExtfs"),
        (FileSystem::Xfs, "xfs", 0x5846_5342, "FsMagicXfs"),
        (FileSystem::Btrfs, "btrfs", 0x9123_683e, "FsMagicBtrfs"),
        (FileSystem::Tmpfs, "tmpfs", 0x0102_1994, "FsMagicTmpFs"),
    ] {
        let lab = Lab::on(file_system);
        let place = lab.path("fs");
        // GetFSMagic: of the path, or if that is not there yet, of its parent.
        for path in [place.clone(), place.join("new"), place.join("new/")] {
            let path = path.to_str().expect("a path that is text");
            let told = mica_alone(&["--output", "json", "fsmagic", path]).worked();
            let told: Value = serde_json::from_str(&told).expect("JSON");
            assert_eq!(
                (&told["name"], &told["magic"], &told["constant"]),
                (&json!(name), &json!(magic), &json!(constant)),
                "{path}"
            );
        }
        let bench = setup::VFS_EXT4.start_in(lab);
        let store = bench
            .daemon
            .client
            .get("/v1/stores/default")
            .expect("a store");
        assert_eq!(store["status"]["Backing Filesystem"], name, "{store}");
        assert_eq!(
            (&store["backing"]["filesystem"], &store["backing"]["magic"]),
            (&json!(name), &json!(magic))
        );
    }
}

#[test]
fn a_mounted_layer_lies_on_overlay() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    bench.store.create("box", Some("base")).expect("create");
    let path = bench.store.mount("box").expect("mount");
    let told = mica_alone(&["fsmagic", path.to_str().expect("a path that is text")]).worked();
    assert!(
        told.contains("overlayfs") && told.contains("0x794c7630"),
        "{told}"
    );
    bench.store.unmount("box").expect("unmount");
}

fn metadata(bench: &Bench, id: &str) -> Value {
    let told = bench
        .daemon
        .client
        .get(&bench.store.target(id, "/metadata"));
    told.expect("metadata")["metadata"].clone()
}

/// moby's GetMetadata: FEATURES 2.2.
#[test]
fn overlay_tells_where_a_layer_and_those_below_lie() {
    let bench = setup::OVERLAY_EXT4.start();
    let store = &bench.store;
    for (id, parent) in [
        ("bottom", None),
        ("middle", Some("bottom")),
        ("top", Some("middle")),
    ] {
        store.create(id, parent).expect("create");
        tree::build(
            &store.mount(id).expect("mount"),
            &format!("f of-{id} data=1"),
        );
        store.unmount(id).expect("unmount");
    }
    let text = |of: &Value, key: &str| {
        of[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key}: {of}"))
            .to_owned()
    };
    let keys = |of: &Value| {
        of.as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let (bottom, middle, top) = (
        metadata(&bench, "bottom"),
        metadata(&bench, "middle"),
        metadata(&bench, "top"),
    );
    assert_eq!(keys(&bottom), ["UpperDir", "MergedDir"]);
    assert_eq!(keys(&top), ["LowerDir", "UpperDir", "WorkDir", "MergedDir"]);
    let uppers = [text(&middle, "UpperDir"), text(&bottom, "UpperDir")];
    assert_eq!(text(&top, "LowerDir"), uppers.join(":"));
    assert_eq!(text(&middle, "LowerDir"), uppers[1]);
    for (told, id) in [(&bottom, "bottom"), (&middle, "middle"), (&top, "top")] {
        assert!(
            Path::new(&text(told, "UpperDir"))
                .join(format!("of-{id}"))
                .is_file(),
            "{told}"
        );
    }
    assert!(Path::new(&text(&top, "WorkDir")).is_dir(), "{top}");
    // Where it would be mounted is where it is mounted then.
    let path = store.mount("top").expect("mount");
    assert_eq!(Path::new(&text(&top, "MergedDir")), path);
    assert_eq!(metadata(&bench, "top"), top);
    store.unmount("top").expect("unmount");
}

#[test]
fn other_drivers_tell_their_one_directory() {
    for (setup, name) in [(setup::VFS_EXT4, "tree"), (setup::HELLO_EXT4, "files")] {
        let bench = setup.start();
        bench.store.create("one", None).expect("create");
        let told = metadata(&bench, "one");
        let source = Path::new(told["SourceDir"].as_str().expect("a path"));
        assert!(source.is_dir() && source.ends_with(name), "{told}");
        assert_eq!(told.get("MergedDir"), None, "{told}");
        let path = bench.store.mount("one").expect("mount");
        let merged = metadata(&bench, "one")["MergedDir"].clone();
        assert_eq!(merged, path.to_str().expect("a path that is text"));
        bench.store.unmount("one").expect("unmount");
    }
}

/// What `tree::disk_usage` finds in all directories of a layer that have content of its own.
fn own(told: &Value, room: &Path) -> (u64, u64) {
    let mut own: Vec<_> = ["UpperDir", "SourceDir"]
        .iter()
        .filter_map(|key| told[*key].as_str().map(Path::new).map(Path::to_owned))
        .collect();
    own.extend(Some(room.join("sealed")).filter(|sealed| sealed.is_dir()));
    own.sort();
    own.dedup();
    let sums = own.iter().map(|directory| tree::disk_usage(directory));
    sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The note that the example keeps beside a layer's files is no content, nor is what overlayfs keeps in `work`.
#[test]
fn a_layer_occupies_its_own_content_and_nothing_beside_it() {
    for setup in [
        setup::OVERLAY_EXT4,
        setup::EROFS_EXT4,
        setup::VFS_EXT4,
        setup::HELLO_EXT4,
    ] {
        let bench = setup.start();
        let store = &bench.store;
        let occupies = |id: &str| {
            let told = metadata(&bench, id);
            let own_directory = ["UpperDir", "SourceDir"]
                .iter()
                .find_map(|key| told[*key].as_str());
            let room = Path::new(own_directory.expect("a directory"))
                .parent()
                .expect("a room");
            let usage = bench.daemon.client.get(&store.target(id, "/usage"));
            let usage = usage.expect("usage");
            let (bytes, inodes) = own(&told, room);
            let expected = json!({ "bytes": bytes, "inodes": inodes, "source": "walk" });
            assert_eq!(usage, expected, "{} {id}: {told}", setup.driver);
            (bytes, inodes)
        };
        store.create("base", None).expect("create");
        store
            .apply("base", &archive("f big fill=300000\nd d\nf d/f data=2"))
            .expect("apply");
        let base = occupies("base");
        store.create("top", Some("base")).expect("create");
        let path = store.mount("top").expect("mount");
        tree::build(&path, "f more fill=70000");
        store.unmount("top").expect("unmount");
        occupies("top");
        // A layer that was applied and is changed afterwards has content in two directories with the driver erofs.
        store.create("changed", None).expect("create");
        store
            .apply("changed", &archive("f big fill=300000\nd d\nf d/f data=2"))
            .expect("apply");
        let path = store.mount("changed").expect("mount");
        tree::build(&path, "f more fill=70000");
        store.unmount("changed").expect("unmount");
        assert!(occupies("changed").0 >= base.0 + 70_000, "{}", setup.driver);
    }
}

/// moby's Status: FEATURES 2.2.
#[test]
fn overlay_tells_its_state_in_moby_s_words() {
    let bench = setup::OVERLAY_XFS.start();
    let store = bench
        .daemon
        .client
        .get("/v1/stores/default")
        .expect("a store");
    let expected = json!({
        "Backing Filesystem": "xfs",
        "Supports d_type": "true",
        "Using metacopy": "false",
        "Native Overlay Diff": "true",
        "userxattr": "false",
    });
    assert_eq!(store["status"], expected);
    let keys: Vec<_> = store["status"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(
        keys,
        expected
            .as_object()
            .expect("an object")
            .keys()
            .collect::<Vec<_>>(),
        "moby's order"
    );
}

/// Options per driver and per layer: what is not known is named with what is.
#[test]
fn options_that_no_one_knows_are_named() {
    let bench = setup::OVERLAY_EXT4.start();
    let client = &bench.daemon.client;
    for (driver, options, names) in [
        ("overlay", json!({ "overlay.bogus": "1" }), "there are none"),
        (
            "overlay",
            json!({ "overlay2.size": "1G" }),
            "project quotas",
        ),
        ("vfs", json!({ "size": "1G" }), "there are none"),
    ] {
        let error = client
            .create_store("other", driver, &options)
            .expect_err("an option that no one knows");
        error.is(400, "invalid-option", names);
    }
    for (options, names) in [
        (json!({ "size": "1G" }), "project quotas"),
        (json!({ "bogus": "1" }), "`bogus`"),
    ] {
        let error = bench
            .store
            .create_as(json!({ "id": "x", "storage_options": options }))
            .expect_err("an option that no one knows");
        error.is(400, "invalid-option", names);
    }
    let socket = &client.socket;
    mica(
        socket,
        &["layer", "create", "x", "--storage-opt", "size=1G"],
    )
    .failed(6, "project quotas");
    mica(
        socket,
        &[
            "layer",
            "create",
            "x",
            "--storage-opt",
            "a=1",
            "--storage-opt",
            "a=2",
        ],
    )
    .failed(2, "given twice");
    assert!(bench.store.ids().is_empty());
    assert!(
        fs::read_dir(bench.lab.home("default").join("layers"))
            .expect("list")
            .next()
            .is_none()
    );
}

/// Each driver says itself whether it works on a path; nothing of the question stays there.
#[test]
fn doctor_asks_every_driver() {
    for (file_system, works) in [(FileSystem::Ext4, false), (FileSystem::Btrfs, true)] {
        let lab = Lab::on(file_system);
        let place = lab.path("fs");
        let text = place.to_str().expect("a path that is text");
        let told = mica_alone(&["--output", "json", "doctor", text]).worked();
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let drivers = told["drivers"].as_object().expect("an object");
        for (driver, expected) in [("btrfs", works), ("overlay", true), ("vfs", true)] {
            assert_eq!(drivers[driver], expected, "{driver}: {told}");
        }
        let why = told["refusals"]["btrfs"].as_str().unwrap_or_default();
        assert_eq!(why.contains("mkfs.btrfs"), !works, "{told}");
        let mut left = fs::read_dir(&place).expect("list");
        assert!(
            left.all(|entry| !entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .contains("doctor")),
            "something is left in {text}"
        );
    }
}
