//! Rights never widen: not from a parent to its child, not through an archive, and not by what Mica's own directory has.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::command::mica;
use mica_tests::docker;
use mica_tests::dump::{nodes, print};
use mica_tests::http::{self, Body, Response};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::listing;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;
use serde_json::{Value, json};

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

/// What an archive cannot carry of a layer is told by name: to whoever asks for the archive, in the log, as an event.
#[test]
fn what_a_diff_leaves_out_is_told_everywhere() {
    let bench = setup::VFS_EXT4.start();
    base(
        &bench,
        "f f data=1 x:trusted.sum=1 x:user.fine=1\ns socket\nf .wh.odd data=1",
    );
    let told = [
        "socket `socket`",
        "extended attribute `trusted.sum` of `f`",
        "reserved name `.wh.odd`",
    ];
    let mut events = Events::listen(&bench.daemon.client.socket);
    let target = "/v1/stores/default/layers/base/diff?parent=";
    let answer = bench.daemon.client.send("GET", target, Body::Empty);
    let operation = operation(&bench, &answer);
    assert_eq!(
        (&operation["kind"], &operation["state"], &operation["layer"]),
        (&json!("diff"), &json!("done"), &json!("base")),
        "{operation}"
    );
    let report = &operation["report"];
    assert_eq!(report["archive_bytes"], answer.body.len());
    assert_eq!(report["left_out_count"], 3);
    let event = events.next("layer.left-out");
    let log = bench.daemon.log();
    for told in told {
        let first = report["first_left_out"].as_array().expect("a list");
        assert!(first.iter().any(|one| one == told), "{told}: {report}");
        assert!(log.contains(told), "{told}: {log}");
        assert!(event.contains(told), "{told}: {event}");
    }
    let file = bench.lab.path("box.tar");
    let file = file.to_str().expect("UTF-8");
    for (arguments, is_in_output) in [
        (&["layer", "diff", "base", "--whole", "-o", file][..], true),
        (&["layer", "diff", "base", "--whole"], false),
    ] {
        let ended = mica(&bench.daemon.client.socket, arguments);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let shown = if is_in_output {
            ended.text()
        } else {
            ended.stderr
        };
        for told in told {
            assert!(shown.contains(told), "{told}: {shown}");
        }
    }
}

/// moby's form drops more than what no archive can hold.
#[test]
fn what_mobys_form_leaves_out_is_told() {
    let bench = docker::Bench::with(FileSystem::Ext4, "overlay");
    bench.plugin.create("base", "").expect("create");
    let view = bench.plugin.get("base").expect("get");
    let script = "f f data=1 x:user.note=1 x:trusted.sum=1\ns socket\nd d x:user.of-d=1\nh g to=f";
    tree::build(
        &view,
        &format!("{script}\nm d x:system.posix_acl_default=\"{DEFAULT}\""),
    );
    bench.plugin.about("Put", "base").expect("put");
    bench.plugin.diff("base", "").expect("diff");
    let log = bench.daemon.log();
    for told in [
        "socket `socket`",
        "`user.note` of `f`",
        "`trusted.sum` of `f`",
        "`user.of-d` of `d`",
        "`system.posix_acl_default` of `d`",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(
        log.contains("count=5"),
        "a hard link is told once, overlayfs' marks are not: {log}"
    );
}

#[test]
fn what_an_apply_leaves_out_is_told() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("other", None).expect("create");
    let mut events = Events::listen(&bench.daemon.client.socket);
    let archive = archive("f g data=1 x:trusted.sum=1 x:user.fine=1");
    let report = bench.store.apply("other", &archive).expect("apply");
    assert_eq!(report["xattrs_skipped"], 1);
    let first = &report["first_left_out"];
    let told = "extended attribute `trusted.sum` of `g`";
    assert_eq!(first[0], told, "{report}");
    let event = events.next("layer.left-out");
    assert!(event.contains(told), "{event}");
}

/// A file system without access lists keeps none, of a directory as little as of a file.
#[test]
fn what_the_file_system_refuses_is_told() {
    let lab = Lab::on(FileSystem::Btrfs);
    let script = format!(
        "f f data=1 mode=640 x:system.posix_acl_access=\"{LIST}\"
         d a
         d a/d mode=750 x:system.posix_acl_default=\"{DEFAULT}\""
    );
    let archive = archive(&script);
    let options = ["-o", "remount,noacl"];
    let remounted = Command::new("mount")
        .args(options)
        .arg(lab.path("fs"))
        .status();
    assert!(remounted.expect("run mount").success());
    let bench = setup::VFS_EXT4.start_in(lab);
    bench.store.create("other", None).expect("create");
    let report = bench.store.apply("other", &archive).expect("apply");
    assert_eq!(report["xattrs_skipped"], 2, "{report}");
    let told = report["first_left_out"].to_string();
    for told_of in ["posix_acl_access` of `f`", "posix_acl_default` of `a/d`"] {
        assert!(told.contains(told_of), "{told}");
    }
}

/// An archive that cannot be made ends without a last chunk, and the reason can be had.
#[test]
fn a_diff_that_fails_late_says_why() {
    /// Bytes that leave before the end is known, and a path that is longer than 64 KiB.
    const BODY_BYTES: usize = 4 << 20;
    const DIRECTORIES: usize = 258;
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    let top = bench.store.mount("base").expect("mount");
    fs::write(top.join("a"), vec![1; BODY_BYTES]).expect("write");
    let name = "d".repeat(255);
    std::env::set_current_dir(&top).expect("enter");
    for _ in 0..DIRECTORIES {
        fs::create_dir(&name).expect("make a directory");
        std::env::set_current_dir(&name).expect("enter");
    }
    std::env::set_current_dir("/").expect("leave");
    let socket = &bench.daemon.client.socket;
    for target in ["diff", "diff?parent="] {
        let target = format!("/v1/stores/default/layers/base/{target}");
        let answer = bench.daemon.client.send("GET", &target, Body::Empty);
        assert!(!answer.complete && !answer.body.is_empty());
        let operation = operation(&bench, &answer);
        assert_eq!(operation["state"], "failed", "{operation}");
        let problem = &operation["problem"];
        assert_eq!(problem["code"], "not-supported", "{problem}");
        assert_eq!(problem["class"], "not-supported", "{problem}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains("65536 bytes"), "{detail}");
    }
    let file = bench.lab.path("box.tar");
    let ended = mica(
        socket,
        &["layer", "diff", "base", "-o", file.to_str().expect("UTF-8")],
    );
    assert!(
        ended.code == 5 && ended.stderr.contains("65536 bytes"),
        "{}",
        ended.stderr
    );
    assert!(!file.exists());
    let unknown = bench
        .daemon
        .client
        .get("/v1/operations/1-1")
        .expect_err("unknown");
    unknown.is(404, "unknown-operation", "1-1");
}

/// What came of the operation that answered.
fn operation(bench: &Bench, answer: &Response) -> Value {
    let id = answer.header("mica-operation").expect("an operation");
    let view = bench.daemon.client.get(&format!("/v1/operations/{id}"));
    view.expect("what came of it")
}

/// The stream of events.
struct Events(Lines<BufReader<UnixStream>>);

impl Events {
    fn listen(socket: &Path) -> Self {
        let stream = http::begin(socket, "GET", "/v1/events", &[], Body::Empty);
        let mut reader = BufReader::new(stream.expect("connect"));
        http::read_head(&mut reader).expect("an answer");
        Self(reader.lines())
    }

    /// Waits for an event of this kind.
    fn next(&mut self, kind: &str) -> String {
        let told = |line: &String| line.starts_with("data:") && line.contains(kind);
        let mut lines = self.0.by_ref().map(|line| line.expect("a line"));
        lines.find(told).expect("the event")
    }
}
