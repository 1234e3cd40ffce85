//! `mica check` and `mica repair`: what they say of a daemon that works, of one that was killed, and of what nobody can explain.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use mica_tests::archive::archive;
use mica_tests::command::{Ended, bare, mica_alone};
use mica_tests::containerd::{Bench as Snapshots, Labels};
use mica_tests::damage::state;
use mica_tests::fault::strace_is_there;
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::setup::{Bench, OVERLAY_EXT4};
use serde_json::Value;

fn mica(lab: &Lab, arguments: &[&str]) -> Ended {
    let (root, run) = (lab.root(), lab.path("run"));
    let [root, run] = [&root, &run].map(|path| path.to_str().expect("text"));
    mica_alone(&[arguments, &["--root", root, "--run-dir", run]].concat())
}

/// The document that a command prints, which ends with `code`.
#[track_caller]
fn json(lab: &Lab, arguments: &[&str], code: i32) -> Value {
    let ended = mica(lab, &[&["--output", "json"], arguments].concat());
    assert_eq!(ended.code, code, "{}{}", ended.text(), ended.stderr);
    serde_json::from_slice(&ended.stdout).expect("a document")
}

/// Kinds of findings, with what became of them if anything did.
fn kinds(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    let shown = |one: &Value| {
        let kind = one["kind"].as_str().expect("a kind").to_owned();
        match one["outcome"].as_str() {
            Some(outcome) => format!("{kind} {outcome}"),
            None => kind,
        }
    };
    let mut kinds: Vec<String> = list.map(shown).collect();
    kinds.sort();
    kinds
}

fn stop(bench: Bench) -> Lab {
    let Bench { daemon, lab, .. } = bench;
    assert!(daemon.stop().success());
    lab
}

#[test]
fn a_daemon_that_works_is_clean_and_not_disturbed() {
    let bench = Snapshots::start(FileSystem::Ext4, "overlay");
    let store = bench.daemon.client.default_store();
    store.create("base", None).expect("create");
    let content = archive("d dir\nf dir/file fill=5000");
    let is_over = AtomicBool::new(false);
    let mut clean = 0;
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (store, content, is_over) = (&store, &content, &is_over);
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = format!("w{worker}-{number}");
                    store.create(&id, Some("base")).expect("create");
                    store.apply(&id, content).expect("apply");
                    store.view(&id).expect("mount");
                    store.unmount(&id).expect("unmount");
                    store.remove(&id).expect("remove");
                }
            });
        }
        let (bench, is_over) = (&bench, &is_over);
        scope.spawn(move || {
            let mut client = bench.client();
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (key, name) = (format!("k{number}"), format!("n{number}"));
                client.prepare(&key, "", &Labels::new()).expect("prepare");
                client
                    .commit(&name, &key, "", &Labels::new())
                    .expect("commit");
                client.remove(&name).expect("remove");
            }
        });
        for _ in 0..12 {
            let report = json(&bench.lab, &["check", "--content"], 0);
            assert_eq!(report["daemon_runs"], true);
            assert_eq!(report["stores"], 2);
            clean += 1;
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(clean, 12);
    for arguments in [&["repair"][..], &["repair", "--dry-run"]] {
        let refused = mica(&bench.lab, arguments);
        refused.failed(4, "is in use by another mica daemon");
        assert!(refused.stderr.contains("try: stop the other daemon"));
    }
}

/// A file in a home, and what lies above it.
fn write(home: &Path, path: &str, text: &str) {
    let path = home.join(path);
    fs::create_dir_all(path.parent().expect("above")).expect("make");
    fs::write(path, text).expect("write");
}

/// What [`damage_all`] does, as a check tells it.
const DAMAGED: [&str; 9] = [
    "draft-left",
    "layer-unknown",
    "parent-lost",
    "scratch-left",
    "staged-left",
    "stray",
    "stray",
    "stray",
    "trash-left",
];

/// Leaves something half done and something strange everywhere, and takes away what tells what the layer `lost` is.
fn damage_all(home: &Path, base: &str, lost: &str) {
    for path in [
        "staging/half/d/file",
        "trash/gone/d/file",
        "numbers.new",
        "letter",
        "../.scratch/store.json",
        "../Not A Store/file",
        &format!("layers/{base}/note.json"),
    ] {
        write(home, path, "what is this");
    }
    for name in ["rows.sqlite", "rows.mark"] {
        fs::remove_file(home.join(name)).expect("remove");
    }
    for name in ["record.json", "record-2.json"] {
        write(home, &format!("layers/{lost}/{name}"), "{");
    }
}

/// Brings the layer `lost` back as its note says, with a record of a person's own.
fn bring_back(lab: &Lab, lost: &str) {
    let aside = lab.root().join("set-aside");
    let notes = fs::read_dir(aside).expect("list").flatten().map(|entry| {
        let text = fs::read(entry.path().join("note.json")).expect("a note");
        serde_json::from_slice::<Value>(&text).expect("a note")
    });
    let mut of_layers = notes.filter(|note| note["finding"]["kind"] == "layer-unknown");
    let note = of_layers.next().expect("the layer was set aside");
    let path = |key: &str| Path::new(note[key].as_str().expect("a path")).to_owned();
    assert_eq!(path("was"), lab.home("default").join("layers").join(lost));
    let record = "{\"version\": 1, \"id\": \"lost\", \"parent\": null, \"kind\": \"content\", \
         \"created\": \"2026-01-01T00:00:00.000000000Z\", \"driver\": \"overlay\", \"revision\": 0}";
    fs::rename(path("is"), path("was")).expect("bring it back");
    fs::write(path("was").join("record.json"), record).expect("mend it");
    fs::remove_file(path("was").join("record-2.json")).expect("remove");
}

#[test]
fn what_was_left_half_done_goes_and_what_nobody_can_explain_is_set_aside() {
    let bench = OVERLAY_EXT4.start();
    for (id, parent) in [("base", None), ("lost", None), ("child", Some("lost"))] {
        bench.store.create(id, parent).expect("create");
    }
    let number = |id: &str| bench.store.inspect(id).expect("inspect")["number"].to_string();
    let (base, lost) = (number("base"), number("lost"));
    let lab = stop(bench);
    assert_eq!(json(&lab, &["check"], 0)["findings"], serde_json::json!([]));
    damage_all(&lab.home("default"), &base, &lost);
    let before = state(&lab.root());
    let report = json(&lab, &["check"], 9);
    assert_eq!(kinds(&report["findings"]), DAMAGED);
    let planned = json(&lab, &["repair", "--dry-run"], 9);
    assert!(before == state(&lab.root()), "nothing was changed");
    let told = mica(&lab, &["check"]).text();
    for text in [
        "LOSS    layer-unknown  store `default`",
        "repair: sets the layer aside",
    ] {
        assert!(told.contains(text), "{told}");
    }
    let done = json(&lab, &["repair"], 9);
    for (list, mended) in [(&planned, "planned"), (&done, "mended")] {
        let expected = DAMAGED.iter().map(|kind| match *kind {
            "parent-lost" => format!("{kind} left"),
            _ => format!("{kind} {mended}"),
        });
        assert_eq!(kinds(&list["repairs"]), expected.collect::<Vec<_>>());
    }
    let again = json(&lab, &["repair"], 9);
    assert_eq!(kinds(&again["repairs"]), ["parent-lost left"]);
    assert_eq!(json(&lab, &["check"], 9)["set_aside"], 4);
    bring_back(&lab, &lost);
    assert_eq!(mica(&lab, &["repair"]).worked(), "nothing is wrong\n");
    let bench = OVERLAY_EXT4.start_in(lab);
    assert_eq!(bench.store.ids(), ["base", "child", "lost"]);
    bench.store.view("child").expect("mount");
    bench.store.unmount("child").expect("unmount");
}

#[test]
fn a_damaged_record_is_written_anew_and_serves_until_then() {
    let bench = OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    bench.store.create("child", Some("base")).expect("create");
    let inspected = bench.store.inspect("child").expect("inspect");
    let record = bench
        .lab
        .home("default")
        .join(format!("layers/{}/record.json", inspected["number"]));
    let whole = fs::read_to_string(&record).expect("a record");
    let other = whole.replace("child", "chill");
    // A disk that gives back other bytes that are as good JSON is noticed as well.
    let bench = bench.restart(|daemon| {
        assert!(daemon.stop().success());
        fs::write(&record, &other).expect("damage");
    });
    assert_eq!(bench.store.inspect("child").expect("inspect"), inspected);
    let status = bench.daemon.client.get("/v1/status").expect("status");
    assert!(
        status["problems"].to_string().contains("record.json"),
        "{status}"
    );
    assert_eq!(
        kinds(&json(&bench.lab, &["check"], 9)["findings"]),
        ["record-damaged"]
    );
    let lab = stop(bench);
    assert_eq!(
        kinds(&json(&lab, &["repair"], 0)["repairs"]),
        ["record-damaged mended"]
    );
    assert_eq!(fs::read_to_string(&record).expect("a record"), whole);
    let kept = lab.root().join("set-aside/1/record.json");
    assert_eq!(fs::read_to_string(kept).expect("kept"), other);
    assert_eq!(
        kinds(&json(&lab, &["repair"], 0)["repairs"]),
        Vec::<String>::new()
    );
}

#[test]
fn removals_that_were_asked_for_are_finished_and_mounts_of_nobody_go() {
    let bench = Snapshots::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    for (name, parent) in [("c0", ""), ("c1", "c0"), ("c2", "c1")] {
        client
            .prepare("x", parent, &Labels::new())
            .expect("prepare");
        client
            .commit(name, "x", "", &Labels::new())
            .expect("commit");
    }
    let store = bench.daemon.client.default_store();
    store.create("mounted", None).expect("create");
    let mounted = store.mount("mounted").expect("mount");
    for name in ["c2", "c1"] {
        client.remove(name).expect("remove");
    }
    let Snapshots { daemon, lab, .. } = bench;
    daemon.kill();
    let state = lab.path("run/state/default");
    for file in fs::read_dir(&state).expect("states").flatten() {
        fs::write(file.path(), "{").expect("damage");
    }
    let found = kinds(&json(&lab, &["check"], 9)["findings"]);
    for kind in ["mount-unknown", "state-unreadable"] {
        assert!(found.iter().any(|found| found == kind), "{found:?}");
    }
    let pending = found.iter().filter(|kind| *kind == "removal-pending");
    println!("{} removals were not finished", pending.count());
    let done = json(&lab, &["repair"], 0);
    for repair in done["repairs"].as_array().expect("a list") {
        assert_eq!(repair["outcome"], "mended", "{done:#}");
    }
    assert!(!mounted.exists(), "it is unmounted");
    assert_eq!(
        kinds(&json(&lab, &["check"], 0)["findings"]),
        Vec::<String>::new()
    );
    let settings = Snapshots::settings(&lab, "overlay");
    let bench = Snapshots::of(lab, &settings);
    assert_eq!(bench.client().lines(), ["COMMITTED \"c0\" on \"\" {}"]);
    assert_eq!(bench.settle(), 1);
}

/// A store with a layer that a repair keeps and one that it sets aside, and a copy of it.
struct Sweep {
    lab: Lab,
    numbers: [String; 2],
}

impl Sweep {
    fn new() -> Self {
        let bench = OVERLAY_EXT4.start();
        let numbers = ["whole", "unknown"].map(|id| {
            bench.store.create(id, None).expect("create");
            bench.store.inspect(id).expect("inspect")["number"].to_string()
        });
        let lab = stop(bench);
        copy(&lab.root().join("stores"), &lab.path("fs/golden"));
        Self { lab, numbers }
    }

    /// Brings the store back, and damages one of each thing that a repair does something about.
    fn damage(&self) {
        let stores = self.lab.root().join("stores");
        fs::remove_dir_all(&stores).expect("remove");
        copy(&self.lab.path("fs/golden"), &stores);
        fs::remove_dir_all(self.lab.root().join("set-aside")).ok();
        let home = self.lab.home("default");
        let [whole, unknown] = &self.numbers;
        for path in ["staging/half/d/file", "trash/gone/d/file", "letter"] {
            write(&home, path, "what is this");
        }
        write(&home, "store.json", "{");
        write(&home, "rows.sqlite", "no database");
        write(&home, &format!("layers/{whole}/record.json"), "{");
        for name in ["record.json", "record-2.json"] {
            write(&home, &format!("layers/{unknown}/{name}"), "{");
        }
    }

    /// Repairs until the `when`th of some system calls; says whether it came to its end.
    fn kill(&self, calls: &str, when: usize) -> bool {
        let mut command = Command::new("strace");
        let (trace, kill) = (
            format!("trace={calls}"),
            format!("inject={calls}:signal=SIGKILL:when={when}"),
        );
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &kill]);
        command.arg(bare().get_program()).arg("repair");
        command.arg("--root").arg(self.lab.root());
        command.arg("--run-dir").arg(self.lab.path("run"));
        let ended = command.output().expect("start strace");
        ended.status.success()
    }

    /// A further repair does what is left, and what was set aside is there once.
    fn check(&self, what: &str) {
        let done = json(&self.lab, &["repair"], 0);
        for repair in done["repairs"].as_array().expect("a list") {
            assert_eq!(repair["outcome"], "mended", "{what}: {done:#}");
        }
        let report = json(&self.lab, &["check"], 0);
        assert_eq!(report["findings"], serde_json::json!([]), "{what}");
        let mut kept: Vec<String> = Vec::new();
        for entry in fs::read_dir(self.lab.root().join("set-aside")).expect("list") {
            let names = fs::read_dir(entry.expect("list").path()).expect("list");
            let names = names.flatten().map(|name| name.file_name());
            kept.extend(names.map(|name| name.to_string_lossy().into_owned()));
        }
        // SQLite may have left a write-ahead log, and a killed repair a note about nothing.
        kept.retain(|name| !name.starts_with("note.json") && !name.ends_with("-wal"));
        kept.sort();
        let unknown = self.numbers[1].as_str();
        let expected = [
            unknown,
            "letter",
            "record.json",
            "rows.sqlite.damaged-1",
            "store.json.damaged-1",
        ];
        assert_eq!(kept, expected, "{what}");
    }
}

fn copy(from: &Path, to: &Path) {
    let [from, to] = [from, to].map(|path| path.to_str().expect("text"));
    run(&["cp", "-a", from, to]);
}

#[test]
fn a_repair_that_is_killed_at_any_point_is_finished_by_the_next() {
    if !strace_is_there() {
        return;
    }
    let sweep = Sweep::new();
    let mut kills = 0;
    for (calls, step) in [
        ("renameat,renameat2,rename", 1),
        ("unlinkat,unlink,rmdir", 1),
        ("mkdirat,mkdir,symlinkat,symlink", 1),
        ("fsync,fdatasync,syncfs", 2),
        ("pwrite64", 2),
        ("openat", 23),
    ] {
        for when in (1..).step_by(step) {
            sweep.damage();
            let is_over = sweep.kill(calls, when);
            sweep.check(&format!("{calls} {when}"));
            if is_over {
                break;
            }
            kills += 1;
        }
    }
    println!("{kills} kills");
    assert!(kills > 40, "{kills}");
    let bench = OVERLAY_EXT4.start_in(sweep.lab);
    assert_eq!(bench.store.ids(), ["whole"]);
}

#[test]
fn a_root_or_store_that_is_not_there_is_named() {
    let lab = stop(OVERLAY_EXT4.start());
    mica(&lab, &["check", "--store", "nowhere"]).failed(3, "nowhere");
    for command in ["check", "repair"] {
        let place = ["--root", "/nowhere/at/all", "--run-dir", "/nowhere/run"];
        mica_alone(&[&[command], &place[..]].concat()).failed(1, "/nowhere/at/all");
        // The usual run directory may be another root's.
        mica_alone(&[command, "--root", "/nowhere/at/all"])
            .failed(2, "where the mounts of that root are");
    }
    assert_eq!(json(&lab, &["check", "--store", "default"], 0)["stores"], 1);
}

#[test]
fn layers_that_were_moved_away_are_not_forgotten() {
    let bench = OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    let content = archive("d dir\nf dir/file fill=5000");
    bench.store.apply("base", &content).expect("apply");
    let lab = stop(bench);
    let (home, away) = (lab.home("default"), lab.path("fs/away"));
    fs::rename(home.join("layers"), &away).expect("move away");
    // Something that a start would put right, by itself.
    write(&home, "trash/left/file", "of a kill");
    let report = json(&lab, &["repair"], 9);
    let found = kinds(&report["repairs"]);
    assert!(
        found.iter().any(|one| one == "layers-missing left"),
        "{found:?}"
    );
    assert!(
        !home.join("layers").exists(),
        "nothing is put in their place"
    );
    fs::rename(&away, home.join("layers")).expect("put back");
    // And what an operator keeps under such a name is no draft of Mica's.
    write(&home, "layers.new/1/record.json", "a backup");
    json(&lab, &["repair"], 0);
    json(&lab, &["check"], 0);
    let kept = Command::new("grep")
        .args(["-rl", "a backup"])
        .arg(lab.root().join("set-aside"))
        .output()
        .expect("grep");
    assert!(!kept.stdout.is_empty(), "it was set aside, not deleted");
    let settings = mica_tests::daemon::Settings::new(&lab.root(), &lab.path("run"), "overlay");
    let daemon = settings.start();
    let shown = daemon.client.default_store().view("base").expect("mount");
    assert!(Path::new(&shown).join("dir/file").exists());
}

#[test]
fn a_description_that_someone_changed_and_left_the_old_sum_in_is_kept() {
    let bench = OVERLAY_EXT4.start();
    let path = bench.lab.home("default").join("store.json");
    let lab = stop(bench);
    let before = fs::read_to_string(&path).expect("read");
    let edited = before.replace(
        "\"options\": []",
        "\"options\": [[\"override_kernel_check\", \"true\"]]",
    );
    assert_ne!(edited, before);
    fs::write(&path, &edited).expect("write");
    let report = json(&lab, &["check"], 9);
    assert_eq!(kinds(&report["findings"]), ["description-damaged"]);
    let detail = report["findings"][0]["detail"].as_str().expect("words");
    assert!(detail.contains("store.json.damaged-<n>"), "{detail}");
    let daemon = OVERLAY_EXT4.settings(&lab).start();
    let status = daemon.client.get("/v1/status").expect("status");
    assert!(
        status["problems"].to_string().contains("store.json"),
        "{status}"
    );
    assert!(daemon.stop().success());
    let kept = path.with_file_name("store.json.damaged-1");
    assert_eq!(fs::read_to_string(&kept).expect("it is kept"), edited);
    assert_eq!(fs::read_to_string(&path).expect("read"), before);
    let report = json(&lab, &["check"], 9);
    assert_eq!(kinds(&report["findings"]), ["description-kept"]);
    let done = json(&lab, &["repair"], 0);
    assert_eq!(kinds(&done["repairs"]), ["description-kept mended"]);
    assert!(!kept.exists());
}
