//! What only the btrfs driver has to do: subvolumes within layers, limits, usage that nobody has to walk for.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::build::hostile_btrfs_driver;
use mica_tests::client::Against;
use mica_tests::command::mica;
use mica_tests::dump::dump;
use mica_tests::history::seen;
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
use mica_tests::watch::swept;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn subvolume(path: &Path) {
    run(&["btrfs", "-q", "subvolume", "create", text(path)]);
}

/// The paths of all subvolumes of the file system under test.
fn subvolumes(lab: &Lab) -> String {
    let listed = Command::new("btrfs")
        .args(["subvolume", "list", text(&lab.path("fs"))])
        .output()
        .expect("list subvolumes");
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

/// Subvolumes as a process in a container may make them: in one another, at depth, and closed to all changes.
fn nested(top: &Path) {
    tree::build(
        top,
        "d a\nd a/b\nf a/plain data=plain\nf top data=top own=7:8 x:user.k=v",
    );
    subvolume(&top.join("a/b/one"));
    tree::build(
        &top.join("a/b/one"),
        "f in-one data=1\nd deep\nd deep/er\nh hard to=in-one",
    );
    subvolume(&top.join("a/b/one/deep/er/two"));
    fs::write(top.join("a/b/one/deep/er/two/in-two"), "2").expect("write");
    subvolume(&top.join("three"));
    fs::write(top.join("three/in-three"), "3").expect("write");
    subvolume(&top.join("three/four"));
    fs::write(top.join("three/four/in-four"), "4").expect("write");
    run(&[
        "btrfs",
        "property",
        "set",
        "-ts",
        text(&top.join("three")),
        "ro",
        "true",
    ]);
}

fn with_nested(bench: &Bench, id: &str, parent: Option<&str>) {
    bench.store.create(id, parent).expect("create");
    nested(&bench.store.mount(id).expect("mount"));
    bench.store.unmount(id).expect("unmount");
}

#[test]
fn subvolumes_within_a_layer_go_with_it() {
    let bench = setup::BTRFS.start();
    let before = subvolumes(&bench.lab);
    with_nested(&bench, "box", None);
    assert!(subvolumes(&bench.lab).contains("deep/er/two"));
    // A thousand would be as well, but take longer to make.
    bench.store.create("many", None).expect("create");
    let path = bench.store.mount("many").expect("mount");
    for number in 0..300 {
        subvolume(&path.join(format!("s{number}")));
    }
    bench.store.unmount("many").expect("unmount");
    for id in ["box", "many"] {
        bench.store.remove(id).expect("remove");
    }
    swept(&bench.lab.home("default"));
    assert_eq!(subvolumes(&bench.lab), before);
}

#[test]
fn a_child_and_a_replaced_layer_have_the_subvolumes_of_the_original() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    with_nested(&bench, "base", None);
    let whole = seen(store, "base");
    assert!(
        whole.contains("a/b/one/deep/er/two/in-two") && whole.contains("three/four/in-four"),
        "{whole}"
    );
    store.create("child", Some("base")).expect("create");
    assert_eq!(seen(store, "child"), whole);
    assert_eq!(
        store.changes("child", Against::Parent).expect("changes"),
        ""
    );
    let more = archive("f a/b/one/brought data=new\nf beside data=new");
    store.apply("child", &more).expect("apply");
    assert_eq!(
        store.changes("child", Against::Parent).expect("changes"),
        "C /a\nC /a/b\nC /a/b/one\nA /a/b/one/brought\nA /beside\n"
    );
    let filled = seen(store, "child");
    store
        .apply("child", &more[..700])
        .expect_err("a part of an archive");
    assert_eq!(
        seen(store, "child"),
        filled,
        "a failed apply changed the layer"
    );
    assert_eq!(seen(store, "base"), whole, "a child changed its parent");
    store.remove("child").expect("remove");
    store.remove("base").expect("remove");
    swept(&bench.lab.home("default"));
    assert_eq!(subvolumes(&bench.lab), "");
}

#[test]
fn what_a_crash_leaves_in_staging_and_trash_goes_at_the_next_start() {
    let bench = setup::BTRFS.start();
    let before = subvolumes(&bench.lab);
    let home = bench.lab.home("default");
    let bench = bench.restart(|daemon| {
        drop(daemon);
        for area in ["staging/0123", "trash/4567"] {
            let room = home.join(area).join("d");
            fs::create_dir_all(&room).expect("make a room");
            subvolume(&room.join("tree"));
            nested(&room.join("tree"));
        }
    });
    swept(&home);
    assert_eq!(subvolumes(&bench.lab), before);
    bench.watch().check();
}

#[test]
fn a_view_is_closed_and_layers_are_subvolumes() {
    let bench = setup::BTRFS.start();
    with_nested(&bench, "base", None);
    let path = bench.store.view("base").expect("view");
    for name in ["new", "top", "a/b/one/in-one", "a/b/one/new"] {
        let error = fs::write(path.join(name), "changed").expect_err("a view is closed");
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{name}");
    }
    // Every top of a subvolume has this inode.
    assert_eq!(fs::metadata(&path).expect("stat").ino(), 256);
    bench.store.unmount("base").expect("unmount");
}

/// Writes until the kernel refuses, and says how much it took.
fn fill(path: &Path, most: u64) -> (u64, Option<ErrorKind>) {
    let file = fs::File::create(path).expect("make a file");
    let noise = mica_tests::script::noise(b"fill", 1 << 20);
    for number in 0..most / MIB {
        let written = std::io::Write::write_all(&mut &file, &noise).and_then(|()| file.sync_data());
        if let Err(error) = written {
            return (number * MIB, Some(error.kind()));
        }
    }
    (most, None)
}

fn limited(bench: &Bench, id: &str, size: &str) {
    let request = json!({ "id": id, "storage_options": { "size": size } });
    bench.store.create_as(request).expect("create");
}

#[test]
fn a_layer_holds_what_its_size_allows_and_no_more() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    limited(&bench, "small", "32M");
    let path = store.mount("small").expect("mount");
    fs::write(path.join("kept"), "kept").expect("write");
    let (written, refusal) = fill(&path.join("big"), 64 * MIB);
    assert_eq!(refusal, Some(ErrorKind::QuotaExceeded));
    assert!((24 * MIB..=32 * MIB).contains(&written), "{written}");
    fs::remove_file(path.join("big")).expect("remove");
    store.unmount("small").expect("unmount");
    let before = seen(store, "small");
    // An archive that is too large leaves the layer as it was, and one that fits goes in.
    let many: String = (0..40)
        .map(|number| format!("f big{number} fill={MIB}\n"))
        .collect();
    store
        .apply("small", &archive(&many))
        .expect_err("too large")
        .is(507, "no-space", "small");
    assert_eq!(seen(store, "small"), before);
    store
        .apply("small", &archive("f fits fill=1000000"))
        .expect("apply");
    // What took the layer's place is limited as well, after a restart too.
    let bench = bench.restart(drop);
    let path = bench.store.mount("small").expect("mount");
    assert_eq!(
        fill(&path.join("big"), 64 * MIB).1,
        Some(ErrorKind::QuotaExceeded)
    );
    bench.store.unmount("small").expect("unmount");
    // Without a size of its own a child has no limit.
    bench.store.create("free", Some("small")).expect("create");
    let path = bench.store.mount("free").expect("mount");
    assert_eq!(fill(&path.join("more"), 48 * MIB), (48 * MIB, None));
    bench.store.unmount("free").expect("unmount");
}

#[test]
fn subvolumes_within_a_layer_count_in_its_usage_and_its_size() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    limited(&bench, "small", "32M");
    let path = store.mount("small").expect("mount");
    for name in ["one", "two"] {
        subvolume(&path.join(name));
        assert_eq!(
            fill(&path.join(name).join("big"), 10 * MIB),
            (10 * MIB, None)
        );
    }
    store.unmount("small").expect("unmount");
    let top = bench.lab.path("fs");
    run(&["btrfs", "quota", "rescan", "-w", text(&top)]);
    let counted = usage(&bench, "small");
    let bytes = counted["bytes"].as_u64().expect("bytes");
    assert_eq!(counted["source"], "quota", "{counted}");
    assert!((20 * MIB..21 * MIB).contains(&bytes), "{counted}");
    // A subvolume counts from the next view on: 12 MiB are left, wherever they are written.
    let path = store.mount("small").expect("mount");
    for place in ["big", "one/more"] {
        let (written, refusal) = fill(&path.join(place), 24 * MIB);
        assert_eq!(refusal, Some(ErrorKind::QuotaExceeded), "{place}");
        assert!(
            (8 * MIB..=12 * MIB).contains(&written),
            "{place}: {written}"
        );
        fs::remove_file(path.join(place)).expect("remove");
    }
    store.unmount("small").expect("unmount");
    let metadata = bench.daemon.client.get(&store.target("small", "/metadata"));
    assert_eq!(
        metadata.expect("metadata")["metadata"]["Limit Bytes"],
        "33554432"
    );
    // A child without a size has no bound, within either.
    store.create("free", Some("small")).expect("create");
    let path = store.mount("free").expect("mount");
    assert_eq!(fill(&path.join("two/more"), 24 * MIB), (24 * MIB, None));
    store.unmount("free").expect("unmount");
}

/// Simple quotas, which btrfs-progs can switch on from 6.7 on: `BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA`.
fn simple_quotas(bench: &Bench) {
    let call = "import fcntl, os, struct, sys\n\
        fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0xc0109428, struct.pack('QQ', 4, 0))";
    run(&["python3", "-c", call, text(&bench.lab.path("fs"))]);
}

/// The groups of all subvolumes, those that are gone included.
fn groups(bench: &Bench) -> Vec<String> {
    let top = bench.lab.path("fs");
    let shown = Command::new("btrfs")
        .args(["qgroup", "show", "--raw", text(&top)])
        .output();
    let shown = String::from_utf8_lossy(&shown.expect("btrfs").stdout).into_owned();
    let lines = shown.lines().filter(|line| line.starts_with("0/"));
    lines.map(str::to_owned).collect()
}

#[test]
fn simple_quotas_are_told_as_such_bound_what_is_written_and_leave_no_groups() {
    let bench = setup::BTRFS.start();
    simple_quotas(&bench);
    let store = &bench.store;
    let top = bench.lab.path("fs");
    let state = bench
        .daemon
        .client
        .get("/v1/stores/default")
        .expect("a store");
    let quotas = state["status"]["Quotas"].as_str().expect("a text");
    assert!(
        quotas.starts_with("simple") && quotas.contains("not what it has of its parents"),
        "{state}"
    );
    store.create("base", None).expect("create");
    let noise = format!("f big fill={}", 24 * MIB);
    store.apply("base", &archive(&noise)).expect("apply");
    // The parent's 24 MiB do not count.
    let request = json!({ "id": "box", "parent": "base", "storage_options": { "size": "16M" } });
    store.create_as(request).expect("create");
    let path = store.mount("box").expect("mount");
    let (written, refusal) = fill(&path.join("more"), 24 * MIB);
    assert_eq!(refusal, Some(ErrorKind::QuotaExceeded));
    assert!((12 * MIB..=16 * MIB).contains(&written), "{written}");
    fs::remove_file(path.join("more")).expect("remove");
    assert_eq!(fill(&path.join("less"), 4 * MIB), (4 * MIB, None));
    store.unmount("box").expect("unmount");
    // What groups count is not what a layer occupies: an apply leaves it in the group of what was replaced.
    occupies(&bench, "base", 24 * MIB, 2);
    occupies(&bench, "box", 4 * MIB, 1);
    let metadata = bench.daemon.client.get(&store.target("box", "/metadata"));
    let metadata = &metadata.expect("metadata")["metadata"];
    let written = metadata["Written Bytes"]
        .as_str()
        .expect("bytes")
        .parse::<u64>();
    assert!(
        (4 * MIB..5 * MIB).contains(&written.expect("a number")),
        "{metadata}"
    );
    assert_eq!(
        (&metadata["Limit Bytes"], &metadata["Referenced Bytes"]),
        (&json!("16777216"), &Value::Null)
    );
    for id in ["box", "base"] {
        store.remove(id).expect("remove");
    }
    swept(&bench.lab.home("default"));
    let bench = bench.restart(|daemon| {
        run(&["btrfs", "-q", "subvolume", "sync", text(&top)]);
        run(&["sync", "-f", text(&top)]);
        drop(daemon);
    });
    let groups = groups(&bench);
    assert!(
        groups.len() == 1 && groups[0].starts_with("0/5 "),
        "{groups:?}"
    );
}

/// Linux gives the directory that stands for a subvolume in a snapshot the time of each look at it.
#[test]
fn a_snapshot_within_a_layer_gives_the_same_archive_each_time() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    store.create("box", None).expect("create");
    let path = store.mount("box").expect("mount");
    subvolume(&path.join("one"));
    subvolume(&path.join("one/two"));
    run(&[
        "btrfs",
        "-q",
        "subvolume",
        "snapshot",
        text(&path.join("one")),
        text(&path.join("copy")),
    ]);
    assert_eq!(fs::metadata(path.join("copy/two")).expect("stat").ino(), 2);
    store.unmount("box").expect("unmount");
    let first = store.diff("box", Against::Nothing).expect("diff");
    for _ in 0..3 {
        assert!(store.diff("box", Against::Nothing).expect("diff") == first);
    }
    let listed = mica_tests::listing::list(&first);
    let stands = listed.iter().find(|entry| entry.name == b"copy/two/");
    assert_eq!(stands.map(|entry| entry.seconds), Some(0));
    store.create("copy", None).expect("create");
    store.apply("copy", &first).expect("apply");
    assert!(store.diff("copy", Against::Nothing).expect("diff") == first);
}

/// Linux takes an owner, a mode and times for that directory, and keeps none of them.
#[test]
fn attributes_of_a_directory_that_stands_for_a_subvolume_are_told_as_left_out() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    store.create("box", None).expect("create");
    let path = store.mount("box").expect("mount");
    subvolume(&path.join("one"));
    subvolume(&path.join("one/two"));
    let (from, to) = (path.join("one"), path.join("copy"));
    run(&[
        "btrfs",
        "-q",
        "subvolume",
        "snapshot",
        text(&from),
        text(&to),
    ]);
    store.unmount("box").expect("unmount");
    let report = store.apply("box", &archive("d one mode=750\nd copy/two mode=700"));
    let report = report.expect("apply");
    assert_eq!(report["xattrs_skipped"], 1, "{report}");
    let told = report["first_left_out"][0].as_str().unwrap_or_default();
    assert!(
        told.contains("copy/two") && told.contains("mode"),
        "{report}"
    );
}

#[test]
fn a_hard_link_out_of_a_subvolume_is_refused_by_name() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    with_nested(&bench, "base", None);
    let before = seen(store, "base");
    store
        .apply("base", &archive("f new data=1\nh linked to=a/b/one/in-one"))
        .expect_err("a link out of a subvolume")
        .is(422, "invalid-archive", "linked");
    assert_eq!(seen(store, "base"), before);
}

#[test]
fn a_limit_comes_back_when_someone_switched_quotas_off() {
    let bench = setup::BTRFS.start();
    limited(&bench, "small", "16MiB");
    run(&["btrfs", "quota", "disable", text(&bench.lab.path("fs"))]);
    let path = bench.store.mount("small").expect("mount");
    assert_eq!(
        fill(&path.join("big"), 48 * MIB).1,
        Some(ErrorKind::QuotaExceeded)
    );
    bench.store.unmount("small").expect("unmount");
}

#[test]
fn options_are_known_and_sizes_are_sizes() {
    let bench = setup::BTRFS.start();
    let (store, client) = (&bench.store, &bench.daemon.client);
    for (value, named) in [
        ("-1", "-1"),
        ("0", "size"),
        ("1e30", "1e30"),
        ("10Gx", "10Gx"),
        ("", "size"),
        ("16E", "16E"),
        ("99999999999999999999", "size"),
        ("1,5G", "1,5G"),
    ] {
        store
            .create_as(json!({ "id": "x", "storage_options": { "size": value } }))
            .expect_err(value)
            .is(400, "invalid-option", named);
    }
    store
        .create_as(json!({ "id": "x", "storage_options": { "sise": "1G" } }))
        .expect_err("an option that no one knows")
        .is(400, "invalid-option", "known are size");
    client
        .create_store("other", "btrfs", &json!({ "btrfs.minspace": "1G" }))
        .expect_err("an option that no one knows")
        .is(400, "invalid-option", "known are btrfs.min_space");
    client
        .create_store("other", "btrfs", &json!({ "btrfs.min_space": "some" }))
        .expect_err("no size")
        .is(400, "invalid-option", "btrfs.min_space");
    let other = client
        .create_store("other", "btrfs", &json!({ "btrfs.min_space": "10M" }))
        .expect("make a store");
    other
        .create_as(json!({ "id": "x", "storage_options": { "size": "9M" } }))
        .expect_err("less than the least")
        .is(400, "invalid-option", "btrfs.min_space");
    other
        .create_as(json!({ "id": "x", "storage_options": { "size": "10M" } }))
        .expect("create");
    assert!(store.ids().is_empty());
}

/// What a layer occupies, once all of it is on the device: no one counts it before.
fn usage(bench: &Bench, id: &str) -> Value {
    run(&["sync", "-f", text(&bench.lab.path("fs"))]);
    bench
        .daemon
        .client
        .get(&bench.store.target(id, "/usage"))
        .expect("usage")
}

/// Panics unless the file system told that a layer occupies so much.
#[track_caller]
fn occupies(bench: &Bench, id: &str, bytes: u64, inodes: u64) {
    let expected = json!({ "bytes": bytes, "inodes": inodes, "source": "search" });
    assert_eq!(usage(bench, id), expected, "{id}");
}

#[test]
fn usage_is_what_is_new_or_changed_with_the_subvolumes_within() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    with_nested(&bench, "base", None);
    let path = store.view("base").expect("mount");
    let (bytes, inodes) = tree::disk_usage(&path);
    store.unmount("base").expect("unmount");
    assert!((4096..65536).contains(&bytes) && (14..24).contains(&inodes));
    occupies(&bench, "base", bytes, inodes);

    store.create("child", Some("base")).expect("create");
    occupies(&bench, "child", 0, 0);
    // The layer is then a copy of what was a snapshot of its parent.
    let more = archive("f a/b/one/brought data=new\nf beside fill=5000");
    store.apply("child", &more).expect("apply");
    occupies(&bench, "child", 3 * 4096, 2);
    let path = store.mount("child").expect("mount");
    tree::build(
        &path,
        "w a/b/one/deep/er/two/in-two data=other\nm three/in-three mode=0600\nm a/b mode=0700\n- three/four/in-four\n\
         w top data=TOP\n- beside",
    );
    // Without a new time, which the script would give.
    fs::rename(path.join("a/plain"), path.join("a/moved")).expect("move");
    fs::hard_link(path.join("a/moved"), path.join("linked")).expect("link");
    subvolume(&path.join("a/new"));
    fs::write(path.join("a/new/file"), "5").expect("write");
    store.unmount("child").expect("unmount");
    // `brought`, `in-two`, `in-three`, `top` and the file in the new subvolume; that itself, and `b`.
    occupies(&bench, "child", 5 * 4096, 7);

    // Another copy, and a child of such a layer.
    store
        .apply("child", &archive("f last data=1"))
        .expect("apply");
    occupies(&bench, "child", 6 * 4096, 8);
    store.create("grandchild", Some("child")).expect("create");
    let path = store.mount("grandchild").expect("mount");
    fs::write(path.join("a/new/file"), "another").expect("write");
    run(&[
        "btrfs",
        "-q",
        "subvolume",
        "delete",
        text(&path.join("a/b/one/deep/er/two")),
    ]);
    store.unmount("grandchild").expect("unmount");
    occupies(&bench, "grandchild", 4096, 1);
    occupies(&bench, "child", 6 * 4096, 8);
}

#[test]
fn usage_is_counted_by_the_file_system_where_it_can_be() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    store.create("base", None).expect("create");
    let path = store.mount("base").expect("mount");
    fill(&path.join("big"), 8 * MIB);
    store.unmount("base").expect("unmount");
    occupies(&bench, "base", 8 * MIB, 2);
    run(&["btrfs", "quota", "enable", text(&bench.lab.path("fs"))]);
    run(&[
        "btrfs",
        "quota",
        "rescan",
        "-w",
        text(&bench.lab.path("fs")),
    ]);
    let counted = usage(&bench, "base");
    assert_eq!(
        (&counted["source"], &counted["inodes"]),
        (&json!("quota"), &json!(2)),
        "{counted}"
    );
    let bytes = counted["bytes"].as_u64().expect("bytes");
    assert!((8 * MIB..9 * MIB).contains(&bytes), "{counted}");
    store.create("child", Some("base")).expect("create");
    let path = store.mount("child").expect("mount");
    fill(&path.join("more"), 2 * MIB);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let bytes = usage(&bench, "child")["bytes"].as_u64().expect("bytes");
        if (2 * MIB..3 * MIB).contains(&bytes) {
            break;
        }
        assert!(Instant::now() < deadline, "{bytes}");
    }
    store.unmount("child").expect("unmount");
    // Shared with its child, the base is no one's alone, but what it added is still what it added.
    occupies(&bench, "base", 8 * MIB, 2);
    let metadata = bench
        .daemon
        .client
        .get(&store.target("child", "/metadata"))
        .expect("metadata");
    let referenced = metadata["metadata"]["Referenced Bytes"]
        .as_str()
        .expect("a number");
    assert!(
        referenced.parse::<u64>().expect("a number") >= 10 * MIB,
        "{metadata}"
    );
    let socket = &bench.daemon.client.socket;
    let printed = mica(socket, &["layer", "usage", "child"]).worked();
    assert!(printed.contains("quota"), "{printed}");
    mica(socket, &["layer", "usage", "gone"]).failed(3, "gone");
}

#[test]
fn a_walk_counts_what_the_layer_itself_has() {
    let bench = setup::OVERLAY_EXT4.start();
    let store = &bench.store;
    for (id, parent) in [("base", None), ("child", Some("base"))] {
        store.create(id, parent).expect("create");
        let path = store.mount(id).expect("mount");
        tree::build(
            &path,
            &format!("d {id}\nf {id}/file fill=8192\nh {id}/again to={id}/file"),
        );
        store.unmount(id).expect("unmount");
        let seen = usage(&bench, id);
        // The top, a directory of a block, a file of two, however many names it has.
        assert_eq!(
            (&seen["source"], &seen["inodes"], &seen["bytes"]),
            (&json!("walk"), &json!(3), &json!(16384)),
            "{seen}"
        );
    }
}

#[test]
fn another_file_system_is_named_with_what_would_help() {
    let lab = Lab::on(FileSystem::Ext4);
    let bench = setup::VFS_EXT4.start_in(lab);
    let error = bench
        .daemon
        .client
        .create_store("other", "btrfs", &json!({}))
        .expect_err("it is no btrfs");
    assert_eq!(error.code, "prerequisites", "{error:?}");
    assert!(
        error.detail.contains("extfs") && error.detail.contains("mkfs.btrfs"),
        "{error:?}"
    );
    mica(
        &bench.daemon.client.socket,
        &["store", "create", "other", "--driver", "btrfs"],
    )
    .failed(5, "mkfs.btrfs");
}

#[test]
fn what_btrfs_needs_is_granted_by_name() {
    let lab = Lab::on(FileSystem::Btrfs);
    let mut settings = setup::VFS_BTRFS.settings(&lab);
    settings.configuration = Some(
        "[drivers.btrfs]\ngrants = ['directory', 'streams', 'mounts', 'home', 'filesystem', 'log', 'config']".into(),
    );
    let daemon = settings.start();
    // Whoever needs the driver first has it loaded.
    assert!(daemon.client.get("/v1/drivers/btrfs").is_err());
    let status = daemon.client.get("/v1/status").expect("status").to_string();
    assert!(
        status.contains("mica:host/btrfs@1.0.0") && status.contains("not granted"),
        "{status}"
    );
    drop(daemon);
    settings.configuration = None;
    let daemon = settings.start();
    let view = daemon.client.get("/v1/drivers/btrfs").expect("the driver");
    assert!(view["grants"].to_string().contains("btrfs"), "{view}");
    let other = daemon.client.get("/v1/drivers/vfs").expect("a driver");
    assert!(!other["grants"].to_string().contains("btrfs"), "{other}");
}

#[test]
fn the_driver_tells_its_state_in_docker_s_words() {
    let bench = setup::BTRFS.start();
    let client = &bench.daemon.client;
    let store = client.get("/v1/stores/default").expect("a store");
    assert_eq!(
        store["status"],
        json!({ "Btrfs": "", "Backing Filesystem": "btrfs", "Quotas": "off" })
    );
    bench.store.create("one", None).expect("create");
    let metadata = client
        .get(&bench.store.target("one", "/metadata"))
        .expect("metadata");
    let tree = metadata["metadata"]["SourceDir"].as_str().expect("a path");
    assert_eq!(fs::metadata(tree).expect("stat").ino(), 256);
    let path = bench.store.mount("one").expect("mount");
    assert_eq!(dump(&path), dump(Path::new(tree)));
    bench.store.unmount("one").expect("unmount");
}

/// ATTACKS 85: a driver that has the grant, and does with it what it may not.
#[test]
fn a_hostile_driver_reaches_no_subvolume_but_its_own() {
    let lab = Lab::on(FileSystem::Btrfs);
    let mut settings = setup::VFS_BTRFS.settings(&lab);
    let component = hostile_btrfs_driver();
    let daemon = settings.start();
    let error = daemon
        .client
        .load_driver(&component)
        .expect_err("not granted");
    error.is(422, "driver-rejected", "`--grant btrfs`");
    drop(daemon);
    settings.configuration = Some(
        "[drivers.hostile]\ngrants = ['directory', 'streams', 'mounts', 'home', 'filesystem', 'log', 'config', 'btrfs']"
            .into(),
    );
    let daemon = settings.start();
    // Its grants go by its name, which only the component tells: it is loaded under it.
    daemon.client.load_driver(&component).expect("load");
    let store = daemon
        .client
        .create_store("hostile", "hostile", &json!({}))
        .expect("a store");
    let bench = Bench { daemon, store, lab };
    bench.store.create("victim", None).expect("create");
    tree::build(
        &bench.store.mount("victim").expect("mount"),
        "f f data=alive\nd d",
    );
    bench.store.unmount("victim").expect("unmount");
    let victim = seen(&bench.store, "victim");
    let before = subvolumes(&bench.lab);
    let watch = bench.watch();
    for (id, answers) in [
        (
            "plain-is-no-subvolume",
            "Invalid, Invalid, Invalid, Invalid, Invalid, Invalid, Invalid, Invalid",
        ),
        (
            "subvolumes-of-others",
            "ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly",
        ),
        (
            "subvolume-names",
            "InvalidName, InvalidName, InvalidName, InvalidName, InvalidName, NameTooLong",
        ),
        ("subvolumes-and-trap", ""),
    ] {
        let problem = bench.store.create(id, None).expect_err(id);
        let told = problem
            .detail
            .split_once("answers: ")
            .map_or("", |(_, told)| told);
        assert_eq!(told.trim_end_matches('`'), answers, "{id}: {problem:?}");
        assert_eq!(seen(&bench.store, "victim"), victim, "{id}");
        watch.check();
        assert_eq!(subvolumes(&bench.lab), before, "{id}");
    }
}
