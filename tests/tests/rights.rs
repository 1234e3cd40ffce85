//! Rights never widen: not from a parent to its child, not through an archive, and not by what Mica's own directory has.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::docker;
use mica_tests::dump::{nodes, print};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::listing;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;

/// user::rw-, user:1000:rw-, group::r--, mask::rw-, other::---
const LIST: &str = r"\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x06\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x06\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff";
/// user::rwx, group::rwx, other::r-x: what a directory hands down.
const DEFAULT: &str = r"\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff";

const SETUPS: [&Setup; 5] = [
    &setup::OVERLAY_EXT4,
    &setup::EROFS_EXT4,
    &setup::VFS_EXT4,
    &setup::BTRFS,
    &setup::HELLO_EXT4,
];

/// Makes a base layer of a script.
fn base(bench: &Bench, script: &str) {
    bench.store.create("base", None).expect("create");
    tree::build(&bench.store.mount("base").expect("mount"), script);
    bench.store.unmount("base").expect("unmount");
}

/// All of a layer, with every extended attribute.
fn seen(bench: &Bench, id: &str) -> String {
    let seen = print(&nodes(&bench.store.view(id).expect("view")));
    bench.store.unmount(id).expect("unmount");
    seen
}

fn script() -> String {
    format!(
        "m / mode=770 x:system.posix_acl_default=\"{DEFAULT}\" x:user.top=1
         f f data=1 mode=660 x:system.posix_acl_access=\"{LIST}\"
         d d mode=2770 x:system.posix_acl_access=\"{LIST}\" x:system.posix_acl_default=\"{DEFAULT}\"
         p p mode=660 x:system.posix_acl_access=\"{LIST}\""
    )
}

#[test]
fn a_child_equals_its_parent_in_every_attribute() {
    for setup in SETUPS {
        let bench = setup.start();
        let others = "m f x:trusted.sum=1 x:security.custom=2 x:user.note=3\nm d x:trusted.sum=4";
        base(&bench, &format!("{}\n{others}", script()));
        let parent = seen(&bench, "base");
        assert!(parent.contains("trusted.sum") && parent.contains("posix_acl"));
        bench.store.create("child", Some("base")).expect("create");
        assert_eq!(seen(&bench, "child"), parent, "{}", setup.driver);
        let changes = bench.store.changes("child", Against::Parent);
        assert_eq!(changes.expect("changes"), "", "{}", setup.driver);
    }
}

#[test]
fn an_archive_carries_access_lists_and_the_top() {
    for setup in SETUPS {
        let bench = setup.start();
        base(&bench, &script());
        let whole = bench.store.diff("base", Against::Nothing).expect("diff");
        bench.store.create("copy", None).expect("create");
        bench.store.apply("copy", &whole).expect("apply");
        assert_eq!(
            seen(&bench, "copy"),
            seen(&bench, "base"),
            "{}",
            setup.driver
        );
        // Another program reads the same.
        let unpacked = bench.lab.scratch("unpacked");
        listing::extract(&whole, &unpacked);
        let list = |path: &str| {
            let mut value = [0; 256];
            let path = unpacked.join(path);
            rustix::fs::lgetxattr(&path, "system.posix_acl_access", &mut value[..]).is_ok()
        };
        assert!(list("f") && list("d"), "GNU tar sets the lists");
    }
}

/// containerd and moby leave a top directory alone that is there: images rely on it whose `./` is closed to others.
#[test]
fn the_top_is_taken_over_rest_and_left_alone_over_docker() {
    let closed = archive("d ./ mode=700 own=7:8 mtime=1000.5 x:user.top=1\nf f data=1");
    for setup in SETUPS {
        let bench = setup.start();
        base(&bench, "f g data=1");
        bench.store.create("child", Some("base")).expect("create");
        bench.store.apply("child", &closed).expect("apply");
        let changes = bench.store.changes("child", Against::Parent);
        assert_eq!(changes.expect("changes"), "C /\nA /f\n", "{}", setup.driver);
        let top = fs::metadata(bench.store.view("child").expect("view")).expect("stat");
        let found = (top.mode() & 0o7777, top.uid(), top.gid());
        assert_eq!(found, (0o700, 7, 8), "{}", setup.driver);
        assert_eq!((top.mtime(), top.mtime_nsec()), (1000, 500_000_000));
        bench.store.unmount("child").expect("unmount");
        let diff = bench.store.diff("child", Against::Parent).expect("diff");
        let lines = listing::lines(&diff);
        let first = lines.lines().next().unwrap_or_default();
        assert!(first.starts_with("d ./ 700 7:8"), "{lines}");
        assert!(first.contains("user.top"), "{lines}");
    }
    let bench = docker::Bench::with(FileSystem::Ext4, "overlay");
    bench.plugin.create("base", "").expect("create");
    bench.plugin.apply("base", "", &closed).expect("apply");
    let top = fs::metadata(bench.plugin.get("base").expect("get")).expect("stat");
    assert_eq!((top.mode() & 0o7777, top.uid(), top.gid()), (0o755, 0, 0));
    bench.plugin.about("Put", "base").expect("put");
}

#[test]
fn what_micas_own_directory_hands_down_reaches_no_layer() {
    for setup in SETUPS {
        let lab = Lab::on(setup.file_system);
        let root = lab.root();
        fs::create_dir_all(&root).expect("make the root");
        tree::build(
            &root,
            &format!("m / own=0:4242 x:system.posix_acl_default=\"{LIST}\""),
        );
        fs::set_permissions(&root, fs::Permissions::from_mode(0o2755)).expect("chmod");
        let bench = setup.start_in(lab);
        base(&bench, "");
        bench.store.create("child", Some("base")).expect("create");
        let script = "d d mode=750\nf d/f data=1 mode=640\np p mode=600\nf implied/g data=2";
        bench.store.apply("child", &archive(script)).expect("apply");
        for id in ["base", "child"] {
            let path = bench.store.view(id).expect("view");
            for node in nodes(&path) {
                assert_eq!(node.xattrs, "", "{}: {}", setup.driver, node.line());
                assert_eq!(node.owner, (0, 0), "{}: {}", setup.driver, node.line());
                assert_eq!(node.mode & 0o7000, 0, "{}: {}", setup.driver, node.line());
            }
            bench.store.unmount(id).expect("unmount");
        }
    }
}

/// An attribute that an archive cannot carry is told, by name.
#[test]
fn what_is_left_out_is_told() {
    let bench = setup::VFS_EXT4.start();
    base(
        &bench,
        "f f data=1 x:trusted.sum=1 x:user.fine=1\ns socket\nf .wh.odd data=1",
    );
    bench.store.diff("base", Against::Nothing).expect("diff");
    let log = bench.daemon.log();
    for told in [
        "socket `socket`",
        "`trusted.sum` of `f`",
        "reserved name `.wh.odd`",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    bench.store.create("other", None).expect("create");
    let archive = archive("f g data=1 x:trusted.sum=1 x:user.fine=1");
    let report = bench.store.apply("other", &archive).expect("apply");
    assert_eq!(report["xattrs_skipped"], 1);
    let first = &report["first_left_out"];
    assert_eq!(
        first[0], "extended attribute `trusted.sum` of `g`",
        "{report}"
    );
}
