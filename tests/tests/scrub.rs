//! Are the files of a layer still what they were, and what comes of it if not?

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use mica_tests::archive::archive;
use mica_tests::client::{Against, Store};
use mica_tests::command::{Ended, mica, mica_alone};
use mica_tests::containerd::{Bench as Snapshots, Labels};
use mica_tests::daemon::Daemon;
use mica_tests::dump::dump;
use mica_tests::http::Body;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::watch::until;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use serde_json::{Value, json};

const FINDINGS: i32 = 9;
const CONTENT: &str = "d dir\nf dir/file fill=70000 mtime=1700000000\nf dir/other data=hello\nl link to=dir/file\nf set data=x mode=4755";

/// Drivers that lay their files down each in a way of its own.
const DRIVERS: [Setup; 4] = [
    setup::OVERLAY_EXT4,
    setup::VFS_XFS,
    setup::EROFS_EXT4,
    setup::BTRFS,
];

fn start(setup: &Setup) -> Bench {
    let bench = setup.start();
    bench.store.create("base", None).expect("create");
    bench.store.apply("base", &archive(CONTENT)).expect("apply");
    bench
}

fn run(bench: &Bench, arguments: &[&str]) -> Ended {
    mica(&bench.daemon.settings.run.join("mica.sock"), arguments)
}

/// What a layer is found to be.
#[track_caller]
fn verdict(store: &Store, id: &str) -> String {
    let view = verify(store, id);
    view["verdict"].as_str().expect("a verdict").to_owned()
}

#[track_caller]
fn verify(store: &Store, id: &str) -> Value {
    let target = store.target(id, "/verify");
    let view = store.client.json("POST", &target, &Value::Null);
    view.expect("verify")
}

fn scrub(store: &Store) -> Value {
    let target = format!("/v1/stores/{}/scrub", store.name);
    store.client.get(&target).expect("ask for the scrub")
}

/// A file in the room of a layer, by the end of its path.
fn file_of(lab: &Lab, store: &Store, id: &str, end: &str) -> PathBuf {
    let number = store.inspect(id).expect("inspect")["number"].to_string();
    let room = lab.home(&store.name).join("layers").join(number).join("d");
    let mut found = Vec::new();
    find(&room, end, &mut found);
    found.pop().expect("such a file")
}

fn find(top: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(top).expect("list").flatten() {
        let path = entry.path();
        if path.ends_with(end) {
            found.push(path);
        } else if entry.file_type().expect("a type").is_dir() && !path.ends_with("d/image") {
            find(&path, end, found);
        }
    }
}

/// Flips a bit, as a disk does: no time changes.
fn flip(path: &Path) {
    let before = fs::metadata(path).expect("stat");
    let file = File::options().read(true).write(true).open(path);
    let file = file.expect("open");
    let at = before.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    byte[0] ^= 4;
    file.write_all_at(&byte, at).expect("write");
    let time = |seconds, nanoseconds| TimeSpec::new(seconds, nanoseconds);
    let accessed = time(before.atime(), before.atime_nsec());
    let modified = time(before.mtime(), before.mtime_nsec());
    let here = nix::fcntl::AT_FDCWD;
    let flags = UtimensatFlags::NoFollowSymlink;
    utimensat(here, path, &accessed, &modified, flags).expect("set the times");
}

/// Where the content of the layer `base` lies that a test damages.
fn victim(bench: &Bench) -> PathBuf {
    let end = match bench.store.inspect("base").expect("inspect")["driver"].as_str() {
        Some("erofs") => "sealed/layer.tar",
        _ => "dir/file",
    };
    file_of(&bench.lab, &bench.store, "base", end)
}

fn problems(daemon: &Daemon) -> String {
    daemon.client.get("/v1/status").expect("status")["problems"].to_string()
}

#[test]
fn a_flipped_bit_is_found_and_named_whatever_the_driver() {
    for setup in &DRIVERS {
        let bench = start(setup);
        let store = &bench.store;
        assert_eq!(verdict(store, "base"), "taken", "{}", setup.driver);
        assert_eq!(verdict(store, "base"), "whole", "{}", setup.driver);
        let victim = victim(&bench);
        flip(&victim);
        let ended = run(&bench, &["layer", "verify", "base"]);
        assert_eq!(ended.code, FINDINGS, "{}", ended.stderr);
        let name = victim.file_name().expect("a name").to_string_lossy();
        assert!(ended.text().contains(&*name), "{}", ended.text());
        let problems = problems(&bench.daemon);
        assert!(problems.contains("layer `base` is damaged"), "{problems}");
        let events = "/v1/events?since=0&follow=false";
        let events = bench.daemon.client.send("GET", events, Body::Empty);
        let events = String::from_utf8_lossy(&events.body).into_owned();
        assert_eq!(events.matches("layer.damaged").count(), 2, "{events}");
        assert_eq!(scrub(store)["damaged"][0]["files"][0]["what"], "content");
        // It is served, as was decided.
        store.diff("base", Against::Nothing).err();
        // The next daemon knows it, and so does a check without one.
        let bench = bench.restart(|daemon| assert!(daemon.stop().success()));
        assert_eq!(scrub(&bench.store)["damaged"][0]["layer"], "base");
        let Bench { daemon, lab, .. } = bench;
        assert!(daemon.stop().success());
        let (root, run) = (lab.root(), lab.path("run"));
        let [root, run] = [&root, &run].map(|path| path.to_str().expect("text"));
        let check = |more: &[&str]| {
            let place = ["check", "--root", root, "--run-dir", run];
            mica_alone(&[&place[..], more].concat())
        };
        check(&[]).worked();
        let found = check(&["--content"]);
        assert_eq!(found.code, FINDINGS);
        assert!(found.text().contains("content-damaged"), "{}", found.text());
    }
}

#[test]
fn each_kind_of_difference_has_its_word() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    assert_eq!(verdict(store, "base"), "taken");
    let path = |end: &str| file_of(&bench.lab, store, "base", end);
    let dir = path("dir/file").parent().expect("above").to_owned();
    let append = File::options().append(true).open(path("dir/file"));
    std::io::Write::write_all(&mut append.expect("open"), b"more").expect("write");
    fs::remove_file(path("set")).expect("remove");
    fs::write(dir.join("stranger"), "new").expect("write");
    let other = path("dir/other");
    fs::remove_file(&other).expect("remove");
    fs::create_dir(&other).expect("make");
    fs::remove_file(path("link")).expect("remove");
    std::os::unix::fs::symlink("dir/othr", dir.with_file_name("link")).expect("link");
    let damage = verify(store, "base")["damage"].clone();
    let files = damage["files"].as_array().expect("files").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let found = files.map(|file| {
        let path = text(&file["path"]);
        let name = path.rsplit('/').next().expect("a name").to_owned();
        (name, text(&file["what"]))
    });
    let found: Vec<_> = found.collect();
    let expected = [
        ("file", "size"),
        ("other", "kind"),
        ("stranger", "extra"),
        ("link", "content"),
        ("set", "missing"),
    ];
    let expected = expected.map(|(name, what)| (name.to_owned(), what.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(damage["count"], 5);
}

#[test]
fn a_layer_that_is_written_to_is_not_damaged() {
    for setup in [setup::OVERLAY_EXT4, setup::VFS_XFS, setup::BTRFS] {
        let bench = start(&setup);
        let store = &bench.store;
        assert_eq!(verdict(store, "base"), "taken");
        let at = store.mount("base").expect("mount");
        fs::write(at.join("dir/other"), "HELLO").expect("write");
        assert_eq!(verdict(store, "base"), "unsettled");
        assert_eq!(store.unmount("base").expect("unmount"), 0);
        assert_eq!(verdict(store, "base"), "taken", "the old ones are gone");
        assert_eq!(verdict(store, "base"), "whole");
        store
            .apply("base", &archive("f more data=1"))
            .expect("apply");
        assert_eq!(verdict(store, "base"), "taken");
        // Nobody writes to it through this.
        let at = store.view("base").expect("mount");
        assert_eq!(verdict(store, "base"), "whole");
        assert_eq!(fs::read(at.join("dir/other")).expect("read"), b"HELLO");
        store.unmount("base").expect("unmount");
        store
            .create_read_write("box", Some("base"))
            .expect("create");
        assert_eq!(verdict(store, "box"), "unsettled");
        assert_eq!(scrub(store)["damaged"], json!([]));
    }
}

#[test]
fn a_pass_takes_and_verifies_all_layers_and_a_store_can_rest() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    for number in 0..5 {
        let id = format!("child{number}");
        store.create(&id, Some("base")).expect("create");
        let content = archive(&format!("f file fill={}", 1000 + number));
        store.apply(&id, &content).expect("apply");
    }
    run(&bench, &["scrub", "--wait"]).worked();
    assert_eq!(scrub(store)["last"]["taken"], 6);
    let told = run(&bench, &["scrub", "default", "--wait"]).worked();
    assert!(told.contains("6 verified"), "{told}");
    assert!(scrub(store)["last"]["ended"].is_string());
    flip(&file_of(&bench.lab, store, "child3", "file"));
    let ended = run(&bench, &["scrub", "default", "child2", "--wait"]);
    ended.worked();
    let ended = run(&bench, &["scrub", "--wait"]);
    assert_eq!(ended.code, FINDINGS, "{}", ended.text());
    assert!(ended.text().contains("layer child3"), "{}", ended.text());
    assert_eq!(scrub(store)["last"]["damaged"], 1);
    run(&bench, &["scrub", "--pause"]).text();
    assert_eq!(scrub(store)["paused"], true);
    let metrics = bench.daemon.client.send("GET", "/metrics", Body::Empty);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "mica_scrub_layers_damaged_total 1",
        "mica_store_layers_damaged{store=\"default\",driver=\"overlay\"} 1",
        "mica_store_verified_time_seconds{store=\"default\",driver=\"overlay\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // What is gone needs nobody.
    store.remove("child3").expect("remove");
    assert_eq!(scrub(store)["damaged"], json!([]));
    assert!(!problems(&bench.daemon).contains("child3"));
    run(&bench, &["scrub", "nothing"]).failed(3, "nothing");
    run(&bench, &["scrub", "default", "nothing"]).failed(3, "nothing");
}

#[test]
fn a_daemon_that_is_killed_within_a_pass_leaves_it_to_the_next() {
    let bench = start(&setup::VFS_XFS);
    for number in 0..8 {
        let id = format!("child{number}");
        bench.store.create(&id, Some("base")).expect("create");
        bench
            .store
            .apply(&id, &archive("f big fill=900000"))
            .expect("apply");
    }
    run(&bench, &["scrub", "--wait"]).worked();
    flip(&file_of(&bench.lab, &bench.store, "child7", "big"));
    let kept = bench.lab.home("default").join("scrub.json");
    let after = || {
        let text = fs::read_to_string(&kept).expect("what is kept");
        let kept: Value = serde_json::from_str(&text).expect("JSON");
        kept["after"].as_str().map(str::to_owned)
    };
    run(&bench, &["scrub"]).worked();
    until("a pass is under way, or over", || {
        after().is_some() || !scrub(&bench.store)["damaged"].to_string().eq("[]")
    });
    let bench = bench.restart(Daemon::kill);
    let before = scrub(&bench.store);
    assert!(
        before["pass"].is_object() || before["last"]["damaged"] == 1,
        "{before}"
    );
    let ended = run(&bench, &["scrub", "--wait"]);
    assert_eq!(ended.code, FINDINGS, "{}", ended.text());
    assert_eq!(scrub(&bench.store)["last"]["layers"], 9);
}

#[test]
fn a_removal_does_not_wait_for_a_verification() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    store.create("large", None).expect("create");
    store
        .apply("large", &archive("f a fill=40000000\nf b fill=40000000"))
        .expect("apply");
    assert_eq!(verdict(store, "large"), "taken");
    for round in 0..4 {
        run(&bench, &["scrub", "default", "large"]).worked();
        match round {
            3 => store.remove("large").expect("remove"),
            _ => {
                store.mount("large").expect("mount");
                assert_eq!(store.unmount("large").expect("unmount"), 0);
            }
        }
    }
    run(&bench, &["scrub", "--wait"]).worked();
    assert_eq!(scrub(store)["damaged"], json!([]));
    let watched = bench.daemon.descriptors();
    until("nothing of the layer is open", || {
        bench.daemon.descriptors() <= watched
    });
    assert!(!bench.daemon.log().contains("panicked"));
}

#[test]
fn a_damaged_layer_is_made_of_its_archive_again_and_of_no_other() {
    for setup in &DRIVERS {
        let bench = start(setup);
        let store = &bench.store;
        store.create("child", Some("base")).expect("create");
        store
            .apply("child", &archive("f more data=1"))
            .expect("apply");
        let view = store.view("child").expect("mount");
        let before = dump(&view);
        let whole = file(&bench.lab, "whole.tar", CONTENT);
        assert_eq!(verdict(store, "base"), "taken", "{}", setup.driver);
        flip(&victim(&bench));
        assert_eq!(verdict(store, "base"), "damaged");
        let repair = |file: &str| run(&bench, &["layer", "repair", "base", "--from", file]);
        repair(&whole).failed(4, "child");
        store.unmount("child").expect("unmount");
        let other = CONTENT.replace("hello", "hallo");
        repair(&file(&bench.lab, "other.tar", &other)).failed(6, "base");
        let more = format!("{CONTENT}\nf more data=x");
        repair(&file(&bench.lab, "more.tar", &more)).failed(6, "base");
        fs::write(bench.lab.path("model/none.tar"), "no archive").expect("write");
        let none = bench.lab.path("model/none.tar");
        repair(none.to_str().expect("text")).failed(6, "base");
        assert_eq!(verdict(store, "base"), "damaged", "nothing was changed");
        let told = repair(&whole).worked();
        assert!(told.contains("the archive that was given"), "{told}");
        assert_eq!(verdict(store, "base"), "whole", "{}", setup.driver);
        assert!(!problems(&bench.daemon).contains("base"));
        let view = store.view("child").expect("mount");
        assert_eq!(dump(&view), before, "{}", setup.driver);
        store.unmount("child").expect("unmount");
        bench.watch().check();
    }
}

fn file(lab: &Lab, name: &str, content: &str) -> String {
    let path = lab.path("model").join(name);
    fs::write(&path, archive(content)).expect("write");
    path.to_str().expect("text").to_owned()
}

#[test]
fn another_store_gives_the_archive_that_it_has() {
    let bench = start(&setup::EROFS_EXT4);
    let client = &bench.daemon.client;
    assert_eq!(verdict(&bench.store, "base"), "taken");
    flip(&victim(&bench));
    assert_eq!(verdict(&bench.store, "base"), "damaged");
    let repair = || run(&bench, &["layer", "repair", "base"]);
    repair().failed(5, "--from FILE");
    let second = client.create_store("second", "erofs", &json!({}));
    let second = second.expect("create a store");
    second.create("twin", None).expect("create");
    second.apply("twin", &archive(CONTENT)).expect("apply");
    // One that is damaged as well is no source.
    flip(&file_of(&bench.lab, &second, "twin", "sealed/layer.tar"));
    assert_ne!(repair().code, 0);
    flip(&file_of(&bench.lab, &second, "twin", "sealed/layer.tar"));
    let told = repair().worked();
    assert!(told.contains("layer `twin` in store `second`"), "{told}");
    assert_eq!(verdict(&bench.store, "base"), "whole");
}

#[test]
fn damaged_layers_are_refused_where_that_is_asked_for() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::OVERLAY_EXT4.settings(&lab);
    settings.configuration = Some("[scrub]\ndamaged = 'refuse'\n".to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    let bench = Bench { daemon, store, lab };
    let store = &bench.store;
    store.create("base", None).expect("create");
    store.apply("base", &archive(CONTENT)).expect("apply");
    store.create("child", Some("base")).expect("create");
    assert_eq!(verdict(store, "base"), "taken");
    flip(&victim(&bench));
    assert_eq!(verdict(store, "base"), "damaged");
    for id in ["base", "child"] {
        store.view(id).unwrap_err().is(500, "layer-damaged", "base");
        let diff = store.diff(id, Against::Nothing).unwrap_err();
        diff.is(500, "layer-damaged", "base");
    }
    let refused = store.create("other", Some("base")).unwrap_err();
    refused.is(500, "layer-damaged", "base");
    flip(&victim(&bench));
    assert_eq!(verdict(store, "base"), "whole", "somebody mended it");
    store.view("child").expect("mount");
}

#[test]
fn a_damaged_layer_is_not_changed_and_gets_no_new_digests() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    assert_eq!(verdict(store, "base"), "taken");
    flip(&victim(&bench));
    assert_eq!(verdict(store, "base"), "damaged");
    let refused = store.mount("base").unwrap_err();
    refused.is(500, "layer-damaged", "base");
    let refused = store.apply("base", &archive("f more data=1")).unwrap_err();
    refused.is(500, "layer-damaged", "base");
    store.view("base").expect("mount to read");
    store.unmount("base").expect("unmount");
    let number = store.inspect("base").expect("inspect")["number"].to_string();
    let layers = bench.lab.home("default").join("layers");
    let list = layers.join(number).join("digests");
    let whole = fs::read(&list).expect("the list is there");
    fs::remove_file(&list).expect("remove");
    assert_eq!(verdict(store, "base"), "damaged");
    assert!(!list.exists());
    fs::write(&list, whole).expect("bring it back");
    let archive = file(&bench.lab, "whole.tar", CONTENT);
    run(&bench, &["layer", "repair", "base", "--from", &archive]).worked();
    assert_eq!(verdict(store, "base"), "whole");
    store.mount("base").expect("mount");
}

#[test]
fn a_layer_with_whiteouts_is_made_of_its_archive_again() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    let content = "f dir/.wh.file\nf dir/more data=more\nf big fill=5000";
    store.create("child", Some("base")).expect("create");
    // Twice, so that the kernel has left something in its own directory.
    store
        .apply("child", &archive("f big fill=7"))
        .expect("apply");
    store.apply("child", &archive(content)).expect("apply");
    let view = store.view("child").expect("mount");
    let before = dump(&view);
    store.unmount("child").expect("unmount");
    assert_eq!(verdict(store, "child"), "taken");
    let work = file_of(&bench.lab, &bench.store, "child", "big");
    let work = work.parent().expect("above").with_file_name("work");
    assert!(work.is_dir(), "the kernel's own directory");
    fs::write(work.join("stranger"), "the kernel's").expect("write");
    assert_eq!(
        verdict(store, "child"),
        "whole",
        "what is the kernel's is left out"
    );
    flip(&file_of(&bench.lab, &bench.store, "child", "big"));
    assert_eq!(verdict(store, "child"), "damaged");
    let mode = content.replace("data=more", "data=more mode=4755");
    let wrong = file(&bench.lab, "mode.tar", &mode);
    let repair = |file: &str| run(&bench, &["layer", "repair", "child", "--from", file]);
    repair(&wrong).failed(6, "attributes");
    repair(&file(&bench.lab, "whole.tar", content)).worked();
    assert_eq!(verdict(store, "child"), "whole");
    assert_eq!(dump(&store.view("child").expect("mount")), before);
}

#[test]
fn a_hole_is_not_read() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    let at = store.mount("base").expect("mount");
    let sparse = File::create(at.join("sparse")).expect("create");
    sparse.write_all_at(b"end", 1 << 40).expect("write");
    drop(sparse);
    store.unmount("base").expect("unmount");
    let view = verify(store, "base");
    assert_eq!(view["verdict"], "taken");
    assert!(view["bytes"].as_u64().expect("bytes") < 10 << 20, "{view}");
    assert_eq!(verdict(store, "base"), "whole");
}

#[test]
fn a_damaged_list_is_told_and_made_anew() {
    let bench = start(&setup::OVERLAY_EXT4);
    let store = &bench.store;
    assert_eq!(verdict(store, "base"), "taken");
    let number = store.inspect("base").expect("inspect")["number"].to_string();
    let list = bench
        .lab
        .home("default")
        .join("layers")
        .join(number)
        .join("digests");
    flip(&list);
    let (root, run_dir) = (bench.lab.root(), bench.lab.path("run"));
    let [root, run_dir] = [&root, &run_dir].map(|path| path.to_str().expect("text"));
    let check = || mica_alone(&["check", "--root", root, "--run-dir", run_dir]);
    let found = check();
    assert_eq!(found.code, FINDINGS);
    assert!(found.text().contains("digests-damaged"), "{}", found.text());
    assert_eq!(verdict(store, "base"), "taken");
    assert_eq!(scrub(store)["lists_lost"], 1);
    check().worked();
    let refused = run(&bench, &["layer", "repair", "base"]);
    refused.failed(5, "--from FILE");
}

#[test]
fn a_full_disk_takes_no_digests_and_loses_no_layer() {
    let lab = Lab::on(FileSystem::SmallExt4);
    let bench = setup::OVERLAY_EXT4.start_in(lab);
    let store = &bench.store;
    store.create("base", None).expect("create");
    let names = (0..3000).map(|number| format!("f file-with-a-long-name-{number} data=1\n"));
    store
        .apply("base", &archive(&names.collect::<String>()))
        .expect("apply");
    let filler = bench.lab.path("fs/filler");
    let mut file = File::create(&filler).expect("create");
    while std::io::Write::write_all(&mut file, &[1; 1 << 16]).is_ok() {}
    while std::io::Write::write_all(&mut file, &[1; 512]).is_ok() {}
    let target = store.target("base", "/verify");
    let refused = store.client.json("POST", &target, &Value::Null);
    refused.unwrap_err().is(507, "no-space", "base");
    drop(file);
    fs::remove_file(&filler).expect("remove");
    let number = store.inspect("base").expect("inspect")["number"].to_string();
    let layer = bench.lab.home("default").join("layers").join(number);
    assert!(!layer.join("digests").exists() && !layer.join("digests.new").exists());
    assert_eq!(verdict(store, "base"), "taken");
    assert_eq!(verdict(store, "base"), "whole");
}

#[test]
fn snapshots_are_verified_once_they_are_committed() {
    let bench = Snapshots::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    let mounts = client
        .prepare("active", "", &Labels::new())
        .expect("prepare");
    let source = PathBuf::from(&mounts[0].source);
    fs::write(source.join("file"), vec![7; 100_000]).expect("write");
    let store = bench.daemon.client.store("containerd");
    let layer = store.ids().pop().expect("a layer");
    assert_eq!(verdict(&store, &layer), "unsettled");
    client
        .commit("committed", "active", "", &Labels::new())
        .expect("commit");
    assert_eq!(verdict(&store, &layer), "taken");
    client
        .prepare("above", "committed", &Labels::new())
        .expect("prepare");
    flip(&source.join("file"));
    assert_eq!(verdict(&store, &layer), "damaged");
    let archive = archive("f file data=1");
    let target = store.target(&layer, "/repair");
    let refused = store.client.call("PUT", &target, Body::Bytes(&archive));
    refused.unwrap_err().is(409, "busy", "above");
    client.remove("above").expect("remove");
    let refused = store.client.call("PUT", &target, Body::Bytes(&archive));
    refused.unwrap_err().is(422, "invalid-archive", &layer);
}
