//! Mounts: made once, counted, kept over the life of a daemon, taken away at the end, out of reach for others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use mica_tests::client::Against;
use mica_tests::command::{bare, mica, mica_with_input};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::image::busybox;
use mica_tests::lab::{Lab, run};
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;
use serde_json::json;

/// A way to end a daemon.
type End = fn(Daemon);

const ALL: [Setup; 4] = [
    setup::OVERLAY_EXT4,
    setup::EROFS_EXT4,
    setup::VFS_EXT4,
    setup::BTRFS,
];

#[test]
fn a_mounted_layer_outlives_its_daemon() {
    let endings: [(&str, End); 2] = [
        ("stop", |daemon| assert!(daemon.stop().success())),
        ("kill", Daemon::kill),
    ];
    for setup in ALL {
        let mut bench = setup.start();
        bench.store.create("base", None).expect("create");
        tree::build(&bench.store.mount("base").expect("mount"), "f f data=1");
        bench.store.unmount("base").expect("unmount");
        bench.store.create("kept", Some("base")).expect("create");
        let path = bench.store.mount("kept").expect("mount");
        bench.store.mount("kept").expect("mount again");
        let id = bench.lab.mount_id(&path);
        for (name, end) in endings {
            let open = fs::File::create(path.join(name)).expect("a file in the mount");
            bench = bench.restart(end);
            assert_eq!(bench.lab.mount_id(&path), id, "{name}: another mount");
            fs::write(path.join("after"), name).expect("the mount works");
            drop(open);
            let layer = bench.store.inspect("kept").expect("inspect");
            assert_eq!(layer["mounts"], 2, "{name}: references are kept: {layer}");
            bench
                .store
                .remove("kept")
                .expect_err("it is mounted")
                .is(409, "mounted", "kept");
            let again = bench
                .store
                .mount_as("kept", &json!({"access": "read-write"}))
                .expect("mount");
            assert_eq!(again["path"], path.display().to_string().as_str());
            assert_eq!(bench.store.unmount("kept").expect("unmount"), 2);
        }
        assert_eq!(bench.store.unmount("kept").expect("unmount"), 1);
        assert_eq!(bench.store.unmount("kept").expect("unmount"), 0);
        assert!(
            !bench.lab.mount_table().contains("kept") && !path.join("f").exists(),
            "still mounted"
        );
        bench.store.remove("kept").expect("remove");
        bench.store.remove("base").expect("remove");
        bench.watch().check();
    }
}

/// FEATURES 6.2 no. 18 and 21: a failed unmount was forgotten, or not told.
/// The layer is mounted while the program runs, its exit code is the command's, and nothing of the mount is left, however it ends.
#[test]
fn a_program_runs_with_a_layer_as_its_root() {
    let Bench {
        daemon,
        store,
        lab: _lab,
    } = setup::OVERLAY_EXT4.start();
    store.create("box", None).expect("create");
    let at = store.mount("box").expect("mount");
    fs::create_dir(at.join("bin")).expect("make a directory");
    for program in ["bin/sh", "bin/sleep"] {
        fs::copy(busybox(), at.join(program)).expect("copy busybox");
    }
    store.unmount("box").expect("unmount");
    let socket = &*daemon.client.socket;
    let references = || store.inspect("box").expect("inspect")["mounts"].clone();
    let exec = |arguments: &[&str]| mica(socket, &[&["layer", "exec"], arguments].concat());
    let said = exec(&["box", "--", "sh", "-c", "echo new > /made; echo $((6*7))"]).worked();
    assert_eq!(said, "42\n");
    let made = mica(socket, &["layer", "cat", "box", "made"]).worked();
    assert_eq!((made.as_str(), references()), ("new\n", json!(0)));
    // As the program ends, so does the command, and the mount goes.
    for (script, code) in [("exit 7", 7), ("kill -TERM $$", 143)] {
        assert_eq!(exec(&["box", "sh", "-c", script]).code, code, "{script}");
        assert_eq!(references(), json!(0));
    }
    assert_eq!(exec(&["box", "no-such-program"]).code, 127);
    let refused = exec(&["--read-only", "box", "sh", "-c", "echo x > /made || exit 3"]);
    assert_eq!((refused.code, references()), (3, json!(0)));
    exec(&["none", "sh"]).failed(3, "none");
    let shell = mica_with_input(socket, &["layer", "shell", "box"], b"exit 5\n");
    assert_eq!(shell.code, 5);

    // Who is killed holds nothing.
    let mut command = bare();
    command.arg("--socket").arg(socket);
    command.args([
        "layer",
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "echo > /began; exec sleep 1000",
    ]);
    let mut child = command.process_group(0).spawn().expect("start mica");
    let began = || mica(socket, &["layer", "cat", "box", "began"]).code == 0;
    while !began() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(references(), json!(1));
    child.kill().and_then(|()| child.wait()).expect("kill");
    while references() != json!(0) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // The program itself goes on, without a terminal and without a mount of the daemon's.
    let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("the program");
}

#[test]
fn a_mount_that_someone_else_took_away_is_noticed() {
    let Bench { daemon, store, lab } = setup::OVERLAY_EXT4.start();
    store.create("base", None).expect("create");
    store.create("lost", Some("base")).expect("create");
    let path = store.mount("lost").expect("mount");
    let settings = daemon.settings.clone();
    daemon.kill();
    mica_tests::lab::run(&["umount", path.to_str().expect("text")]);
    let daemon = settings.start();
    let layer = store.inspect("lost").expect("inspect");
    assert_eq!(layer["mounts"], 0, "{layer}");
    let again = store.mount("lost").expect("mount");
    fs::write(again.join("f"), "x").expect("the mount works");
    assert_eq!(store.unmount("lost").expect("unmount"), 0);
    store.remove("lost").expect("remove");
    store.remove("base").expect("remove");
    Bench { daemon, store, lab }.watch().check();
}

/// An open file keeps its layer mounted, told as busy with the path; a copy of the mount in another namespace does not.
#[test]
fn open_files_hold_a_layer_and_other_namespaces_do_not() {
    for setup in ALL {
        let bench = setup.start();
        let watch = bench.watch();
        bench.store.create("base", None).expect("create");
        for round in 0..2 {
            bench.store.create("held", Some("base")).expect("create");
            let path = bench.store.mount("held").expect("mount");
            tree::build(&path, "f f data=1\nd d");
            let open = fs::File::open(path.join("f")).expect("open");
            let mut elsewhere = bench.lab.another_namespace();
            let problem = bench.store.unmount("held").expect_err("a file is open");
            problem.is(409, "busy", path.to_str().expect("a path that is text"));
            assert!(path.join("f").is_file(), "the mount is gone all the same");
            drop(open);
            assert_eq!(
                bench.store.unmount("held").expect("unmount"),
                0,
                "round {round}"
            );
            bench.store.remove("held").expect("remove");
            elsewhere
                .kill()
                .and_then(|()| elsewhere.wait())
                .expect("end sleep");
        }
        bench.store.remove("base").expect("remove");
        watch.check();
    }
}

/// FEATURES 6.2 no. 27: colons, commas and backslashes in the path of a lower.
#[test]
fn a_root_of_an_odd_name_works() {
    let lab = Lab::on(setup::OVERLAY_EXT4.file_system);
    let root = lab.path("fs/a:b,c\\d e\"f");
    let run = lab.path("run:,x");
    fs::create_dir(&run).expect("make a directory");
    let daemon = Settings::new(&root, &run, "overlay").start();
    let store = daemon.client.default_store();
    store.create("base", None).expect("create");
    tree::build(&store.mount("base").expect("mount"), "f f data=1");
    store.unmount("base").expect("unmount");
    store.create("l", Some("base")).expect("create");
    let path = store.mount("l").expect("mount");
    assert_eq!(fs::read(path.join("f")).expect("read"), b"1");
    fs::write(path.join("g"), "2").expect("write");
    assert_eq!(store.unmount("l").expect("unmount"), 0);
    let changes = store.changes("l", Against::Parent).expect("changes");
    assert_eq!(changes, "A /g\n");
}

#[test]
fn many_clients_make_one_mount() {
    for setup in ALL {
        let bench = setup.start();
        bench.store.create("base", None).expect("create");
        bench.store.create("shared", Some("base")).expect("create");
        let before = bench.lab.mount_table().lines().count();
        let paths: Vec<_> = std::thread::scope(|scope| {
            let mounts: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| bench.store.mount("shared").expect("mount")))
                .collect();
            mounts
                .into_iter()
                .map(|mount| mount.join().expect("a mount"))
                .collect()
        });
        assert!(paths.iter().all(|path| *path == paths[0]));
        assert_eq!(bench.lab.mount_table().lines().count(), before + 1);
        let mut left: Vec<u64> = std::thread::scope(|scope| {
            let ends: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| bench.store.unmount("shared").expect("unmount")))
                .collect();
            ends.into_iter()
                .map(|end| end.join().expect("an unmount"))
                .collect()
        });
        left.sort_unstable();
        assert_eq!(left, (0..16).collect::<Vec<_>>());
        assert_eq!(bench.lab.mount_table().lines().count(), before);
    }
}

#[test]
fn a_second_mount_with_another_wish_is_refused() {
    // FEATURES 6.2 no. 19: the original ignored the label of a second Get.
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("l", None).expect("create");
    bench.store.mount("l").expect("mount");
    let label =
        json!({"access": "read-write", "mount_label": "system_u:object_r:container_file_t:s0"});
    let problem = bench
        .store
        .mount_as("l", &label)
        .expect_err("another label");
    assert_eq!(problem.status, 409, "{problem:?}");
    let problem = bench
        .store
        .mount_as("l", &json!({"access": "read-only"}))
        .expect_err("another access");
    assert_eq!(problem.status, 409, "{problem:?}");
    assert_eq!(bench.store.unmount("l").expect("unmount"), 0);
}

#[test]
fn other_users_reach_no_layer() {
    // CVE-2021-41091: set-user-id programs of images, in reach of every user of the machine.
    for setup in ALL {
        let lab = Lab::on(setup.file_system);
        let mut settings = setup.settings(&lab);
        settings.wrapper = ["sh", "-c", "umask 0; exec \"$@\"", "sh"]
            .map(str::to_owned)
            .to_vec();
        fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).expect("open the way");
        let daemon = settings.start();
        let store = daemon.client.default_store();
        store.create("base", None).expect("create");
        store.create("l", Some("base")).expect("create");
        let path = store.mount("l").expect("mount");
        tree::build(&path, "f program data=x mode=4755\nf open data=x mode=666");
        for reached in [
            path.join("open"),
            path.clone(),
            lab.root().join("stores"),
            lab.home("default").join("layers"),
        ] {
            let is_reached = |path: &std::path::Path| {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]);
                let output = command.args(["ls", "-d"]).arg(path).output();
                output.expect("run ls").status.success()
            };
            assert!(
                !is_reached(&reached) || !is_reached(&reached.join(".")),
                "uid 1000 reaches {}",
                reached.display()
            );
        }
        let mode = fs::metadata(lab.root())
            .expect("the root")
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode & 0o007, 0, "root of mode {mode:o}");
        let socket = fs::metadata(&daemon.client.socket)
            .expect("the socket")
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(socket, 0o660, "socket of mode {socket:o}");
        store.unmount("l").expect("unmount");
    }
}

#[test]
fn planted_overlay_attributes_are_not_followed() {
    // ATTACKS 24 and 25: whoever can write below the home must still not redirect a lookup.
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    tree::build(
        &bench.store.mount("base").expect("mount"),
        "d private mode=700\nf private/secret data=x",
    );
    bench.store.unmount("base").expect("unmount");
    bench.store.create("l", Some("base")).expect("create");
    let path = bench.store.mount("l").expect("mount");
    tree::build(&path, "d open");
    bench.store.unmount("l").expect("unmount");
    let metadata = bench
        .daemon
        .client
        .get(&bench.store.target("l", "/metadata"))
        .expect("metadata");
    let upper = metadata["metadata"]["UpperDir"]
        .as_str()
        .unwrap_or_else(|| panic!("no UpperDir: {metadata}"));
    let open = std::path::Path::new(upper).join("open");
    rustix::fs::lsetxattr(
        &open,
        "trusted.overlay.redirect",
        b"/private",
        rustix::fs::XattrFlags::empty(),
    )
    .expect("plant");
    let path = bench.store.mount("l").expect("mount");
    assert!(
        !path.join("open/secret").exists(),
        "the redirect was followed"
    );
    bench.store.unmount("l").expect("unmount");
}

#[test]
fn options_of_the_mount_are_the_safe_ones() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    bench.store.create("l", Some("base")).expect("create");
    let path = bench.store.mount("l").expect("mount").display().to_string();
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
    let line = table
        .lines()
        .find(|line| line.contains(&path))
        .expect("the mount's line");
    assert!(line.contains(" - overlay "), "{line}");
    for wrong in [
        "redirect_dir=on",
        "redirect_dir=follow",
        "metacopy=on",
        "index=on",
        "xino=on",
        "volatile",
    ] {
        assert!(!line.contains(wrong), "{wrong}: {line}");
    }
    bench.store.unmount("l").expect("unmount");
}

/// FEATURES 6.2 no. 28: values of fsconfig have 255 bytes at most.
#[test]
fn five_hundred_layers_are_mounted() {
    let bench = setup::OVERLAY_XFS.start();
    let id = |number: usize| format!("l{number}");
    for number in 0..500_usize {
        let parent = number.checked_sub(1).map(id);
        bench
            .store
            .create(&id(number), parent.as_deref())
            .unwrap_or_else(|problem| panic!("{number}: {problem:?}"));
        bench
            .store
            .apply(
                &id(number),
                &mica_tests::archive::archive(&format!(
                    "f f{number} data={number}\nf last data={number}"
                )),
            )
            .unwrap_or_else(|problem| panic!("{number}: {problem:?}"));
    }
    let path = bench.store.view(&id(499)).expect("view");
    assert_eq!(fs::read_dir(&path).expect("list").count(), 501);
    assert_eq!(fs::read_to_string(path.join("last")).expect("read"), "499");
    bench.store.unmount(&id(499)).expect("unmount");
    for number in (0..500).rev() {
        bench.store.remove(&id(number)).expect("remove");
    }
    bench.watch().check();
}

/// What keeps a mount busy is looked for, and said only if it is there.
#[test]
fn a_mount_that_is_busy_names_who_uses_it() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("held", None).expect("create");
    let path = bench.store.mount("held").expect("mount");
    tree::build(&path, &format!("d d\nf disk fill={}", 1 << 20));
    let at = |name: &str| path.join(name).to_str().expect("text").to_owned();
    let refused = || {
        let problem = bench.store.unmount("held").expect_err("it is in use");
        problem.is(409, "busy", "held");
        problem.detail
    };
    // One with more rights than Mica keeps cannot be looked at.
    let mut sleeper = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "sleep", "60"])
        .current_dir(path.join("d"))
        .spawn()
        .expect("start sleep");
    let comm = format!("/proc/{}/comm", sleeper.id());
    while fs::read_to_string(&comm).expect("its name") != "sleep\n" {
        std::thread::yield_now();
    }
    let told = refused();
    let named = format!("process {} (`sleep`)", sleeper.id());
    assert!(told.contains(&named), "{told}");
    sleeper
        .kill()
        .and_then(|()| sleeper.wait())
        .expect("end sleep");
    run(&["mount", "-t", "tmpfs", "none", &at("d")]);
    let told = refused();
    let named = format!("`{}` is mounted within it", at("d"));
    assert!(told.contains(&named), "{told}");
    run(&["umount", &at("d")]);
    let device = Command::new("losetup")
        .args(["--find", "--show", &at("disk")])
        .output()
        .expect("start losetup");
    let device = String::from_utf8(device.stdout).expect("text");
    let told = refused();
    run(&["losetup", "--detach", device.trim()]);
    assert!(told.contains("no process"), "{told}");
    assert_eq!(bench.store.unmount("held").expect("unmount"), 0);
}

/// Handles of processes that a daemon has open.
fn handles(bench: &Bench) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", bench.daemon.pid())).expect("descriptors");
    let links = open
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok());
    links
        .filter(|link| link.to_string_lossy().contains("pidfd"))
        .count()
}

#[test]
fn a_process_is_watched_by_one_handle_however_often_it_is_named() {
    let bench = setup::VFS_TMPFS.start();
    bench.store.create("a", None).expect("create");
    let mut child = Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    let mount = |name: &str, pid: Option<u32>| {
        let request = json!({"reference": name, "while_pid": pid});
        bench.store.mount_as("a", &request)
    };
    let before = handles(&bench);
    // As many as one mount may have.
    let mut longest = 0;
    for number in 0..1024 {
        let bound = (number < 40).then(|| child.id());
        let mount = mount(&format!("n{number}"), bound).expect("mount");
        longest = longest.max(mount.to_string().len());
        assert_eq!(mount["holders"].as_array().expect("holders").len(), 1);
    }
    assert!(longest < 1000, "an answer of {longest} bytes");
    for number in 0..20 {
        let refused = mount(&format!("more-{number}"), Some(std::process::id()));
        refused
            .expect_err("too many")
            .is(422, "limit-reached", "1024");
    }
    assert_eq!(handles(&bench) - before, 1, "a handle leaks");
    // What is refused changes nothing of what was bound before.
    let refused = mount("n0", Some(4_000_000_000)).expect_err("no process");
    assert_eq!(refused.status, 400);
    child.kill().expect("kill");
    child.wait().expect("wait");
    let held = || bench.store.inspect("a").expect("inspect")["mounts"] != 1024 - 40;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while held() || handles(&bench) > before {
        assert!(std::time::Instant::now() < deadline, "references stay");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_thread_is_no_process_to_bind_to() {
    let bench = setup::VFS_TMPFS.start();
    bench.store.create("a", None).expect("create");
    let (told, number) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let link = fs::read_link("/proc/thread-self").expect("a thread");
        let name = link.file_name().expect("a number").to_string_lossy();
        told.send(name.parse::<u32>().expect("a number"))
            .expect("tell");
        let _ended = ended.recv();
    });
    let request = json!({"reference": "r", "while_pid": number.recv().expect("a number")});
    let refused = bench.store.mount_as("a", &request).expect_err("a thread");
    refused.is(400, "invalid-option", &std::process::id().to_string());
    drop(end);
    thread.join().expect("the thread ends");
}
