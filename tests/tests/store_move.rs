//! Does a store that goes to another disk have all that it had, and is it whole at one of both places whatever happens?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mica_tests::archive::archive;
use mica_tests::client::{Client, Store};
use mica_tests::command::{mica, mica_alone};
use mica_tests::daemon::Daemon;
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::history::seen;
use mica_tests::http::Body;
use mica_tests::lab::Lab;
use mica_tests::setup::{self, Bench, Setup};
use serde_json::{Value, json};

const DISK_BYTES: u64 = 256 << 20;

/// All that a layer may hold, so that a copy which loses something is another tree.
const TREE: &str = r#"
    d etc mode=755
    f etc/motd mode=644 data=hello
    f etc/sudo mode=4755 own=1000:1001 data=x x:user.note=kept
    h etc/again to=etc/motd
    l link to=etc
    c dev mode=600 rdev=1:3
    p pipe mode=622
    f big mode=600 fill=300000
"#;

fn fill(store: &Store) -> [String; 2] {
    store.create("base", None).expect("create");
    store.apply("base", &archive(TREE)).expect("apply");
    store.create("kid", Some("base")).expect("create");
    let above = archive("f .wh.big mode=644\nd etc mode=700\nf etc/motd mode=644 data=other");
    store.apply("kid", &above).expect("apply");
    trees(store)
}

fn trees(store: &Store) -> [String; 2] {
    ["base", "kid"].map(|id| seen(store, id))
}

fn move_to(client: &Client, to: &Path) -> mica_tests::client::Answer<Value> {
    client.json("POST", "/v1/stores/default/move", &json!({ "to": to }))
}

/// A bench with a second disk.
fn with_disk(setup: &Setup, bytes: u64) -> (Bench, PathBuf) {
    let mut lab = Lab::on(setup.file_system);
    // Before the daemon: what is mounted later it would not see.
    let disk = lab.disk("disk", bytes);
    (setup.start_in(lab), disk)
}

/// The names of stores on a disk, and below the root.
fn entries(disk: &Path, lab: &Lab) -> [Vec<String>; 2] {
    [disk.to_owned(), lab.root().join("stores")].map(|path| {
        let names = fs::read_dir(path).expect("list");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.retain(|name| name != "lost+found");
        names.sort();
        names
    })
}

fn checked(bench: &Bench) {
    let (root, run) = (bench.lab.root(), bench.lab.path("run"));
    let place = [&root, &run].map(|path| path.to_str().expect("text").to_owned());
    let told = mica_alone(&[
        "check",
        "--root",
        &place[0],
        "--run-dir",
        &place[1],
        "--content",
    ]);
    told.worked();
}

fn anew(daemon: Daemon) -> Daemon {
    let settings = daemon.settings.clone();
    assert!(daemon.stop().success());
    settings.start()
}

/// Moves the store to the disk, and looks at it there.
fn moved(bench: &Bench, disk: &Path) {
    let socket = &bench.daemon.client.socket;
    let to = disk.to_str().expect("text");
    let command = ["--json", "store", "move", "default", "--to", to];
    let dry = mica(socket, &[&command[..], &["--dry-run"]].concat()).worked();
    let dry: Value = serde_json::from_str(&dry).expect("a document");
    let told = (&dry["layers"], &dry["is_dry_run"]);
    assert_eq!(told, (&json!(2), &json!(true)), "{dry:#}");
    assert_eq!(entries(disk, &bench.lab), none_there());
    let home = mica(socket, &command[1..]).worked();
    let home = Path::new(home.trim_end());
    assert_eq!(home.parent(), Some(disk));
    let [there, here] = entries(disk, &bench.lab);
    assert_eq!((there.len(), here), (1, vec!["default".to_owned()]));
    let told = bench.daemon.client.get("/v1/stores/default");
    let told = told.expect("a store");
    assert_eq!(told["path"].as_str().map(Path::new), Some(home));
}

/// What lies on the disk and below the root while the store is at home.
fn none_there() -> [Vec<String>; 2] {
    [Vec::new(), vec!["default".to_owned()]]
}

#[test]
fn a_moved_store_has_all_that_it_had_there_and_back() {
    for setup in [setup::OVERLAY_EXT4, setup::EROFS_EXT4, setup::VFS_XFS] {
        let (mut bench, disk) = with_disk(&setup, DISK_BYTES);
        let content = fill(&bench.store);
        // An image of a layer stays attached where the layer lies.
        bench.store.mount("kid").expect("mount");
        bench.store.unmount("kid").expect("unmount");
        let socket = bench.daemon.client.socket.clone();
        moved(&bench, &disk);
        assert_eq!(trees(&bench.store), content, "{}", setup.driver);
        checked(&bench);

        bench.store.create("new", Some("kid")).expect("create");
        bench.store.mount("new").expect("mount");
        bench.store.unmount("new").expect("unmount");
        bench.daemon = anew(bench.daemon);
        let status = bench.daemon.client.get("/v1/status").expect("a status");
        assert_eq!(status["problems"], json!([]), "{status:#}");
        assert_eq!(trees(&bench.store), content, "{}", setup.driver);

        mica(&socket, &["store", "rename", "default", "other"]).worked();
        mica(&socket, &["store", "rename", "other", "default"]).worked();
        mica(&socket, &["store", "move", "default", "--back"]).worked();
        assert_eq!(entries(&disk, &bench.lab), none_there());
        assert!(!bench.lab.home("default").is_symlink());
        assert_eq!(bench.store.ids(), ["base", "kid", "new"]);
        assert_eq!(trees(&bench.store), content, "{}", setup.driver);
        let log = [
            "--format",
            "{kind}",
            "events",
            "--since",
            "1h",
            "--no-follow",
        ];
        assert!(mica(&socket, &log).worked().contains("store.moved"));
        checked(&bench);
    }
}

#[test]
fn what_is_in_the_way_is_told_and_moves_nothing() {
    let (bench, disk) = with_disk(&setup::OVERLAY_EXT4, 4 << 20);
    let content = fill(&bench.store);
    let rest = &bench.daemon.client;
    let open = bench.lab.scratch("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("chmod");
    for (to, names) in [
        (bench.lab.path("nowhere"), "nowhere"),
        (PathBuf::from("disk"), "absolute"),
        (bench.lab.root().join("stores"), "daemon's own"),
        (bench.lab.canary().join("victim/secret"), "no directory"),
        (open, "others than root"),
    ] {
        let refused = move_to(rest, &to).expect_err("it will not do");
        refused.is(400, "invalid-option", names);
    }
    rest.json("POST", "/v1/stores/default/move", &json!({}))
        .expect_err("it is there")
        .is(400, "invalid-option", "already");
    bench.store.mount("kid").expect("mount");
    move_to(rest, &disk)
        .expect_err("it is mounted")
        .is(409, "busy", "default");
    let to = disk.to_str().expect("text");
    let dry = mica(
        &rest.socket,
        &["store", "move", "default", "--to", to, "--dry-run"],
    );
    assert_eq!(
        (dry.code, dry.text().contains("mounted")),
        (4, true),
        "{dry:?}"
    );
    assert!(dry.stderr.contains("default"), "{dry:?}");
    bench.store.unmount("kid").expect("unmount");
    let large = archive("f large mode=600 fill=8000000");
    bench.store.create("large", None).expect("create");
    bench.store.apply("large", &large).expect("apply");
    move_to(rest, &disk)
        .expect_err("there is no room")
        .is(507, "no-space", "default");
    assert_eq!(entries(&disk, &bench.lab), none_there());
    assert_eq!(trees(&bench.store), content);
}

#[test]
fn subvolumes_are_refused() {
    let (bench, disk) = with_disk(&setup::BTRFS, DISK_BYTES);
    let content = fill(&bench.store);
    let refused = move_to(&bench.daemon.client, &disk).expect_err("they are subvolumes");
    refused.is(400, "invalid-option", "layer copy");
    assert_eq!(trees(&bench.store), content);
}

#[test]
fn a_store_whose_daemon_dies_meanwhile_is_whole_at_one_place() {
    if !strace_is_there() {
        return;
    }
    let (bench, disk) = with_disk(&setup::OVERLAY_EXT4, DISK_BYTES);
    let Bench {
        mut daemon,
        lab,
        store,
    } = bench;
    let content = fill(&store);
    for (calls, fault, when) in [
        ("symlinkat", "signal=SIGKILL", 1),
        ("mkdirat,mkdir", "signal=SIGKILL", 5),
        ("copy_file_range", "signal=SIGKILL", 3),
        ("syncfs", "signal=SIGKILL", 1),
        ("renameat2", "signal=SIGKILL", 1),
        ("renameat2", "signal=SIGKILL", 2),
        ("unlinkat,rmdir", "signal=SIGKILL", 1),
        ("unlinkat,rmdir", "signal=SIGKILL", 20),
        ("syncfs", "error=EIO", 1),
        ("renameat2", "error=EIO", 1),
        ("mknodat", "error=EPERM", 1),
    ] {
        let what = format!("{calls} {fault} {when}");
        let settings = daemon.settings.clone();
        let tracer = inject(&daemon, calls, fault, when);
        let is_away = lab.home("default").is_symlink();
        let body = match is_away {
            true => json!({}),
            false => json!({ "to": disk }),
        };
        // It may have died before or after it, or not at all.
        let _answer = daemon
            .client
            .try_send("POST", "/v1/stores/default/move", Body::Json(&body));
        if fault.starts_with("error") {
            end(tracer);
            assert_eq!(lab.home("default").is_symlink(), is_away, "{what}");
            assert_eq!(trees(&store), content, "{what}: it stayed");
        } else {
            daemon.kill();
            end(tracer);
            daemon = settings.start();
        }
        let [there, here] = entries(&disk, &lab);
        assert_eq!(here, ["default"], "{what}");
        let is_away = lab.home("default").is_symlink();
        assert_eq!(there.len(), usize::from(is_away), "{what}: {there:?}");
        assert_eq!(
            (store.ids().len(), trees(&store)),
            (2, content.clone()),
            "{what}"
        );
    }
}

#[test]
fn a_store_whose_disk_is_away_is_told_of_and_comes_back() {
    let (
        Bench {
            daemon,
            mut lab,
            store,
        },
        disk,
    ) = with_disk(&setup::OVERLAY_EXT4, DISK_BYTES);
    let content = fill(&store);
    move_to(&daemon.client, &disk).expect("moved");
    let settings = daemon.settings.clone();
    assert!(daemon.stop().success());
    lab.detach_disk("disk");
    let daemon = settings.start();
    let refused = daemon
        .client
        .get("/v1/stores/default")
        .expect_err("it is away");
    refused.is(500, "io", "mount its file system");
    let (root, run) = (lab.root(), lab.path("run"));
    let place = [&root, &run].map(|path| path.to_str().expect("text").to_owned());
    let found = mica_alone(&["check", "--root", &place[0], "--run-dir", &place[1]]);
    assert_eq!(
        (found.code, found.text().contains("store `default`")),
        (9, true),
        "{found:?}"
    );
    assert!(daemon.stop().success());
    lab.attach_disk("disk");
    let daemon = settings.start();
    assert_eq!(trees(&store), content);
    // Its directory goes with it.
    for id in ["kid", "base"] {
        store.remove(id).expect("remove");
    }
    mica(&daemon.client.socket, &["store", "rm", "default"]).worked();
    assert_eq!(entries(&disk, &lab), [Vec::<String>::new(), Vec::new()]);
}
