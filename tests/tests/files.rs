//! Are the files of a layer shown as a process would see them, without a mount, and nothing else?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mica_tests::archive::archive;
use mica_tests::command::mica;
use mica_tests::http::Body;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;
use serde_json::Value;

const ALL: [Setup; 4] = [
    setup::OVERLAY_EXT4,
    setup::EROFS_EXT4,
    setup::VFS_EXT4,
    setup::BTRFS,
];

/// Files at a path: kind, mode, size and path of each.
fn list(bench: &Bench, id: &str, query: &str) -> Vec<String> {
    let target = bench.store.target(id, &format!("/files?{query}"));
    let answer = bench.daemon.client.call("GET", &target, Body::Empty);
    let text = String::from_utf8(answer.expect("a list").body).expect("text");
    let files = text.lines().map(|line| {
        let file: Value = serde_json::from_str(line).expect("a document a line");
        let field = |name: &str| file[name].as_str().unwrap_or("-").to_owned();
        let size = match field("kind").as_str() {
            // What a directory has depends on its file system.
            "directory" => "-".to_owned(),
            _ => file["size_bytes"].to_string(),
        };
        let target = file["target"].as_str().map(|to| format!(" -> {to}"));
        let (kind, mode, path) = (field("kind"), field("mode"), field("path"));
        format!("{kind} {mode} {size} {path}{}", target.unwrap_or_default())
    });
    files.collect()
}

/// A base, a child that hides, changes and adds, and the child mounted or not.
fn layers(bench: &Bench) {
    bench.store.create("base", None).expect("create");
    let base = archive(
        r#"
        d etc mode=755
        f etc/passwd mode=644 data="root:x:0:0\n"
        f etc/gone mode=644 data=1
        d etc/ssl mode=700
        l etc/ssl/rel to=../../dir/passwd
        l dir to=/etc
        l out to=../../../../etc/shadow
        "#,
    );
    bench.store.apply("base", &base).expect("apply");
    bench.store.create("child", Some("base")).expect("create");
    let child = archive(
        r#"
        f etc/.wh.gone mode=644
        f etc/passwd mode=644 data="root:x:0:0\nuser:x:1:1\n"
        f etc/new mode=644 fill=300000
        "#,
    );
    bench.store.apply("child", &child).expect("apply");
}

#[test]
fn files_are_those_that_a_process_would_see() {
    for setup in ALL {
        let bench = setup.start();
        layers(&bench);
        let watch = bench.watch();
        let child = [
            "regular 0644 300000 /etc/new",
            "regular 0644 22 /etc/passwd",
            "directory 0700 - /etc/ssl",
        ];
        for path in ["/etc", "etc/", "/dir", "/../etc/ssl/.."] {
            assert_eq!(
                list(&bench, "child", &format!("path={path}")),
                child,
                "{path}"
            );
        }
        let everything = [
            "directory 0755 - /",
            "symlink 0777 4 /dir -> /etc",
            "directory 0755 - /etc",
            "regular 0644 1 /etc/gone",
            "regular 0644 11 /etc/passwd",
            "directory 0700 - /etc/ssl",
            "symlink 0777 16 /etc/ssl/rel -> ../../dir/passwd",
            "symlink 0777 22 /out -> ../../../../etc/shadow",
        ];
        assert_eq!(list(&bench, "base", "recursive=true"), everything);
        let one = ["regular 0644 22 /etc/passwd"];
        assert_eq!(list(&bench, "child", "path=/etc/ssl/rel"), one);
        watch.check();
        let table = bench.lab.mount_table();
        assert!(
            !table.contains("/m/default/"),
            "looking has mounted something: {table}"
        );
    }
}

#[test]
fn a_layer_that_is_mounted_is_seen_as_it_is_and_can_be_unmounted() {
    for setup in ALL {
        let bench = setup.start();
        layers(&bench);
        let watch = bench.watch();
        let path = bench.store.mount("child").expect("mount");
        tree::build(&path, "f etc/live data=12345");
        assert!(
            list(&bench, "child", "path=/etc").contains(&"regular 0644 5 /etc/live".to_owned())
        );
        let target = bench.store.target("child", "/content?path=/etc/live");
        let content = bench.daemon.client.call("GET", &target, Body::Empty);
        assert_eq!(content.expect("content").body, b"12345");
        assert_eq!(bench.store.unmount("child").expect("unmount"), 0);
        watch.check();
        bench.store.remove("child").expect("remove");
    }
}

#[test]
fn no_path_leads_out_and_what_is_no_file_is_told() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    bench.store.create("odd", None).expect("create");
    let odd = archive("c null mode=666 rdev=1:3\np pipe mode=666");
    bench.store.apply("odd", &odd).expect("apply");
    let watch = bench.watch();
    let ask = |id: &str, query: &str| {
        let target = bench.store.target(id, query);
        bench.daemon.client.call("GET", &target, Body::Empty)
    };
    for (query, status, code, object) in [
        ("/content?path=/out", 404, "unknown-file", "/out"),
        (
            "/content?path=/../../etc/shadow",
            404,
            "unknown-file",
            "shadow",
        ),
        ("/content?path=/etc", 422, "wrong-file", "a directory"),
        ("/content", 422, "wrong-file", "`/`"),
        (
            "/content?path=/etc/passwd/x",
            404,
            "unknown-file",
            "passwd/x",
        ),
        ("/content?path=/etc/%00", 400, "invalid-option", "NUL"),
        ("/content?path_base64=%21", 400, "invalid-option", "base64"),
        (
            "/files?path=a&path_base64=YQ%3D%3D",
            400,
            "invalid-option",
            "path_base64",
        ),
        ("/files?path=/nothing", 404, "unknown-file", "/nothing"),
        ("/files?depth=1", 400, "invalid-request", "depth"),
        (
            "/files?recursive=perhaps",
            400,
            "invalid-request",
            "recursive",
        ),
    ] {
        ask("child", query)
            .expect_err(query)
            .is(status, code, object);
    }
    ask("nobody", "/files")
        .expect_err("no layer")
        .is(404, "unknown-layer", "nobody");
    for (name, what) in [("null", "a device"), ("pipe", "a named pipe")] {
        let refused = ask("odd", &format!("/content?path={name}"));
        refused.expect_err(name).is(422, "wrong-file", what);
    }
    watch.check();
}

/// Names of a stranger: control characters, bytes that are no UTF-8, a line end.
#[test]
fn names_that_are_no_text_keep_their_bytes() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("odd", None).expect("create");
    let odd = archive(
        r#"
        f "caf\xe9" mode=644 data=latin
        f "a\nb" mode=644 data=line
        "#,
    );
    bench.store.apply("odd", &odd).expect("apply");
    let socket = &bench.daemon.client.socket;
    let found = mica(socket, &["layer", "find", "odd", "--kind", "regular", "-z"]);
    assert_eq!(found.stdout, b"/a\nb\0/caf\xe9\0");
    let shown = mica(socket, &["layer", "find", "odd", "--kind", "regular"]).worked();
    assert_eq!(shown.lines().next(), Some(r"/a\nb"));
    let target = bench.store.target("odd", "/content?path_base64=L2NhZuk%3D");
    let content = bench.daemon.client.call("GET", &target, Body::Empty);
    assert_eq!(content.expect("content").body, b"latin");
}

#[test]
fn the_command_line_lists_shows_finds_and_copies() {
    let bench = setup::OVERLAY_EXT4.start();
    layers(&bench);
    let socket = &bench.daemon.client.socket;
    let listed = mica(socket, &["layer", "ls", "child", "/etc"]).worked();
    assert!(listed.contains("drwx------"), "{listed}");
    assert!(mica(socket, &["layer", "ls"]).worked().contains("child"));
    let shown = mica(socket, &["layer", "cat", "child", "/etc/passwd"]).worked();
    assert_eq!(shown, "root:x:0:0\nuser:x:1:1\n");
    mica(socket, &["layer", "cat", "child", "/etc"]).failed(6, "a directory");
    let found = mica(socket, &["layer", "find", "child", "/", "--name", "p*d"]).worked();
    assert_eq!(found, "/etc/passwd\n");
    let large = mica(socket, &["layer", "find", "child", "--min-size", "1000"]).worked();
    assert!(
        large.contains("/etc/new") && !large.contains("passwd"),
        "{large}"
    );

    let place = tempfile::tempdir().expect("a directory");
    let to = |name: &str| place.path().join(name).display().to_string();
    mica(socket, &["layer", "cp", "child", "/dir/passwd", &to("")]).worked();
    assert_eq!(fs::read(to("passwd")).expect("copied").len(), 22);
    mica(socket, &["layer", "cp", "child", "/", &to("all")]).worked();
    assert_eq!(fs::read(to("all/etc/new")).expect("copied").len(), 300_000);
    let target = fs::read_link(to("all/out")).expect("a link");
    assert_eq!(target.to_str(), Some("../../../../etc/shadow"));
    let mode = fs::metadata(to("all/etc/ssl"))
        .expect("copied")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o700);
    bench.store.create("dev", None).expect("create");
    let device = archive("c null mode=666 rdev=1:3");
    bench.store.apply("dev", &device).expect("apply");
    mica(socket, &["layer", "cp", "dev", "/null", &to("null")]).failed(2, "/null");
    nix::unistd::mkfifo(&place.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    mica(
        socket,
        &["layer", "cp", "child", "/etc/passwd", &to("fifo")],
    )
    .failed(2, "fifo");
    fs::remove_file(to("fifo")).expect("it is there still");
    let again = mica(socket, &["layer", "cp", "child", "/etc", &to("all")]);
    again.failed(2, "is there already");
    assert!(!fs::exists(to("all/etc/etc")).expect("look"));
    let names = fs::read_dir(place.path()).expect("list").count();
    assert_eq!(names, 2, "something partial was left");
}
