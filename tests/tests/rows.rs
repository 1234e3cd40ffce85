//! What a store knows in its rows outlives every damage of their file, and a sync that fails.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_tests::build::repository;
use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::lab::{FileSystem, Lab, run};
use tonic::Code;

fn none() -> Labels {
    Labels::new()
}

/// The directory that a snapshot's changes go to.
fn upper(mounts: &[Mount]) -> PathBuf {
    let options = mounts[0].options.iter();
    let mut uppers = options.filter_map(|option| option.strip_prefix("upperdir="));
    PathBuf::from(uppers.next().unwrap_or(&mounts[0].source))
}

/// Makes an active snapshot with a file of its name.
fn prepare(client: &mut Snapshotter, key: &str, parent: &str, file: &str) {
    let mounts = client.prepare(key, parent, &none()).expect("prepare");
    fs::write(upper(&mounts).join(file), file).expect("write");
}

fn commit(client: &mut Snapshotter, name: &str, parent: &str) {
    prepare(client, "x", parent, name);
    let labels = Labels::from([("containerd.io/snapshot/of".to_owned(), name.to_owned())]);
    client.commit(name, "x", parent, &labels).expect("commit");
}

/// All files of layers of a store, with what is in them.
fn contents(home: &Path) -> BTreeMap<String, String> {
    let layers = home.join("layers");
    let listed = Command::new("find")
        .args([".", "-path", "*/d/*", "-type", "f"])
        .current_dir(&layers)
        .output()
        .expect("start find");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let read = |path: &str| fs::read_to_string(layers.join(path)).expect("read");
    let files = listed.lines();
    files.map(|path| (path.to_owned(), read(path))).collect()
}

fn problems(bench: &Bench) -> String {
    let status = bench.daemon.client.get("/v1/status").expect("status");
    status["problems"].to_string()
}

/// What is done to a store's home, and its name.
type Damage = (&'static str, fn(&Path));

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("damage");
}

const DAMAGES: &[Damage] = &[
    ("lost", |home| {
        fs::remove_file(home.join("rows.sqlite")).expect("remove");
    }),
    ("empty", |home| {
        change(&home.join("rows.sqlite"), Vec::clear);
    }),
    ("cut in two", |home| {
        change(&home.join("rows.sqlite"), |bytes| {
            bytes.truncate(bytes.len() / 2);
        });
    }),
    ("zeroed", |home| {
        change(&home.join("rows.sqlite"), |bytes| bytes.fill(0));
    }),
    ("zeroed behind its first page", |home| {
        change(&home.join("rows.sqlite"), |bytes| bytes[4096..].fill(0));
    }),
    ("no database", |home| {
        change(&home.join("rows.sqlite"), |bytes| bytes.fill(7));
    }),
    ("with flipped bits in each row", |home| {
        change(&home.join("rows.sqlite"), |bytes| {
            let word = b"committed";
            let places: Vec<_> = (0..bytes.len() - word.len())
                .filter(|at| bytes[*at..].starts_with(word))
                .collect();
            assert!(!places.is_empty());
            for at in places {
                bytes[at] ^= 1;
            }
        });
    }),
    ("lost with its mark", |home| {
        for name in ["rows.sqlite", "rows.mark"] {
            fs::remove_file(home.join(name)).expect("remove");
        }
    }),
];

#[test]
fn no_damage_of_the_rows_loses_a_layer_or_a_snapshot() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    commit(&mut client, "c0", "");
    commit(&mut client, "c1", "c0");
    prepare(&mut client, "a1", "c1", "a1");
    prepare(&mut client, "gone", "c1", "gone");
    client.remove("gone").expect("remove");
    client.clean_up().expect("clean up");
    let other = bench.daemon.client.default_store();
    other.create("rest", None).expect("create");
    let (lines, layers) = (client.lines(), bench.layers());
    let files = contents(&bench.home(""));
    for (damage, harm) in DAMAGES {
        let home = bench.home("");
        bench = bench.restart(|daemon| {
            assert!(daemon.stop().success());
            harm(&home);
        });
        let mut client = bench.client();
        assert_eq!(client.lines(), lines, "{damage}");
        assert_eq!(bench.layers(), layers, "{damage}");
        assert_eq!(contents(&home), files, "{damage}");
        let told = problems(&bench);
        assert!(
            told.contains("rows.sqlite") || *damage == "lost with its mark",
            "{damage}: {told}"
        );
        let mounts = client.mounts("a1").expect("mounts");
        assert!(upper(&mounts).join("a1").is_file(), "{damage}");
        commit(&mut client, "new", "c1");
        client.remove("new").expect("remove");
        client.clean_up().expect("clean up");
        bench.settle();
        assert_eq!(bench.daemon.client.default_store().ids(), ["rest"]);
    }
    // The next start has nothing to tell.
    bench = bench.restart(|daemon| assert!(daemon.stop().success()));
    assert_eq!(problems(&bench), "[]");
    let mut client = bench.client();
    for key in ["a1", "c1", "c0"] {
        client.remove(key).expect("remove");
    }
    client.clean_up().expect("clean up");
    bench.assert_empty();
}

#[test]
fn rows_that_are_older_than_the_layers_lose_nothing() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    commit(&mut client, "c0", "");
    prepare(&mut client, "a1", "c0", "a1");
    let home = bench.home("");
    let old = bench.lab.path("old.sqlite");
    let bench = bench.restart(|daemon| {
        assert!(daemon.stop().success());
        fs::copy(home.join("rows.sqlite"), &old).expect("copy");
    });
    let mut client = bench.client();
    client.commit("c1", "a1", "c0", &none()).expect("commit");
    commit(&mut client, "c2", "c1");
    prepare(&mut client, "a2", "c2", "a2");
    let (lines, layers) = (client.lines(), bench.layers());
    let files = contents(&home);
    let bench = bench.restart(|daemon| {
        daemon.kill();
        fs::copy(&old, home.join("rows.sqlite")).expect("put the old one back");
        fs::remove_file(home.join("rows.sqlite-wal")).expect("lose the log");
    });
    let mut client = bench.client();
    assert_eq!(client.lines(), lines);
    assert_eq!((bench.layers(), contents(&home)), (layers, files));
    let told = problems(&bench);
    assert!(told.contains("older than the layers"), "{told}");
    for key in ["a2", "c2", "c1", "c0"] {
        client.remove(key).expect("remove");
    }
    client.clean_up().expect("clean up");
    bench.assert_empty();
}

#[test]
fn a_write_ahead_log_that_is_damaged_loses_nothing() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    commit(&mut bench.client(), "c0", "");
    for (number, damage) in [
        (|log: &Path| fs::remove_file(log).expect("remove")) as fn(&Path),
        |log| change(log, |bytes| bytes.fill(0)),
        |log| change(log, |bytes| bytes.truncate(bytes.len() - 4097)),
        |log| {
            let log = fs::File::options().write(true).open(log).expect("open");
            log.write_all_at(b"flip", 5000).expect("damage");
        },
    ]
    .iter()
    .enumerate()
    {
        let mut client = bench.client();
        let name = format!("after-{number}");
        commit(&mut client, &name, "c0");
        prepare(&mut client, &format!("active/{number}"), &name, "a");
        let (lines, layers) = (client.lines(), bench.layers());
        let log = bench.home("rows.sqlite-wal");
        bench = bench.restart(|daemon| {
            daemon.kill();
            damage(&log);
        });
        assert_eq!(bench.client().lines(), lines, "{number}");
        assert_eq!(bench.layers(), layers, "{number}");
    }
}

#[test]
fn a_store_of_an_earlier_release_is_taken_over() {
    let lab = Lab::on(FileSystem::Ext4);
    let stores = lab.root().join("stores");
    fs::create_dir_all(&stores).expect("make");
    let fixture = repository().join("tests/fixtures/store-before-0.1.0.tar.gz");
    let (fixture, at) = (fixture.to_str(), stores.to_str());
    run(&[
        "tar",
        "-xzf",
        fixture.expect("text"),
        "-C",
        at.expect("text"),
    ]);
    let mut bench = Bench {
        daemon: Bench::settings(&lab, "overlay").start(),
        socket: lab.path("run/containerd.sock"),
        lab,
    };
    let lines = [
        "ACTIVE \"a1\" on \"c1\" {}",
        "COMMITTED \"c0\" on \"\" {\"containerd.io/snapshot/a\": \"b\"}",
        "COMMITTED \"c1\" on \"c0\" {}",
        "VIEW \"v1\" on \"c1\" {}",
    ];
    let home = bench.home("");
    for start in 0..2 {
        assert_eq!(bench.client().lines(), lines, "start {start}");
        assert_eq!(problems(&bench), "[]", "start {start}");
        let mounts = bench.client().mounts("a1").expect("mounts");
        assert!(upper(&mounts).join("of-a1").is_file());
        for name in ["snapshots.redb", "snapshots.log"] {
            assert!(!home.join(name).exists());
            assert!(home.join(format!("{name}.taken-over")).is_file());
        }
        bench = bench.restart(|daemon| daemon.kill());
    }
    // Its layers can say now what they are, and so all but the view comes back without rows.
    let bench = bench.restart(|daemon| {
        daemon.kill();
        for name in ["rows.sqlite", "rows.sqlite-wal"] {
            fs::remove_file(home.join(name)).expect("remove");
        }
    });
    let mut client = bench.client();
    assert_eq!(client.lines(), lines[..3]);
    for key in ["a1", "c1", "c0"] {
        client.remove(key).expect("remove");
    }
    client.clean_up().expect("clean up");
    bench.assert_empty();
}

#[test]
fn a_store_of_an_earlier_release_that_is_damaged_stops_no_one_else() {
    let lab = Lab::on(FileSystem::Ext4);
    let home = lab.home("containerd");
    let daemon = Bench::settings(&lab, "overlay").start();
    assert!(daemon.stop().success());
    let damaged = vec![7; 50_000];
    fs::write(home.join("snapshots.redb"), &damaged).expect("damage");
    let bench = Bench {
        daemon: Bench::settings(&lab, "overlay").start(),
        socket: lab.path("run/containerd.sock"),
        lab,
    };
    let told = problems(&bench);
    assert!(told.contains("snapshots.redb"), "{told}");
    let other = bench.daemon.client.default_store();
    other.create("rest", None).expect("create");
    // What cannot be known is not said to be missing.
    let (code, message) = bench.client().stat("c0").expect_err("it is not known");
    assert_eq!(
        (code, message.contains("snapshots.redb")),
        (Code::Internal, true)
    );
    let kept = fs::read(home.join("snapshots.redb")).expect("read");
    assert!(kept == damaged);
}

/// Lines of all snapshots but that of `key` and `name`.
fn others(client: &mut Snapshotter, own: &[&str]) -> Vec<String> {
    let quoted = own.iter().map(|key| format!(" {key:?} on"));
    let quoted: Vec<_> = quoted.collect();
    let mut lines = client.lines();
    lines.retain(|line| !quoted.iter().any(|key| line.contains(key)));
    lines
}

#[test]
fn a_sync_that_fails_leaves_the_state_before_or_a_store_that_asks_for_a_restart() {
    if !strace_is_there() {
        return;
    }
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    commit(&mut bench.client(), "c0", "");
    commit(&mut bench.client(), "c1", "c0");
    for call in [
        "fsync,fdatasync",
        "syncfs",
        "pwrite64",
        "renameat2,renameat",
    ] {
        for when in 1..=5 {
            let mut client = bench.client();
            prepare(&mut client, "kept", "c1", "kept");
            let lines = client.lines();
            let tracer = inject(&bench.daemon, call, "error=EIO", when);
            let prepared = client.prepare("k", "c1", &none());
            let committed = client.commit("n", "kept", "c1", &none());
            let removed = client.remove("c1");
            end(tracer);
            assert!(removed.is_err(), "others are built on it");
            let what = format!("{call} {when}: {prepared:?} {committed:?}");
            let has_kept = lines.iter().any(|line| line.contains("\"kept\""));
            assert!(has_kept, "{what}");
            let is_there = |client: &mut Snapshotter, key: &str| client.stat(key).is_ok();
            // In memory: exactly what was answered.
            assert_eq!(is_there(&mut client, "k"), prepared.is_ok(), "{what}");
            assert_eq!(is_there(&mut client, "n"), committed.is_ok(), "{what}");
            assert_eq!(is_there(&mut client, "kept"), committed.is_err(), "{what}");
            let refuses = problems(&bench).contains("change no more");
            if refuses {
                let refused = client.prepare("k2", "c1", &none());
                let (_, message) = refused.expect_err("it asks for a restart");
                assert!(message.contains("restart"), "{message}");
            }
            bench = bench.restart(|daemon| daemon.kill());
            let mut client = bench.client();
            // On disk: what was answered; what was refused is there whole, if at all, and only after a restart was asked for.
            let (k, n) = (is_there(&mut client, "k"), is_there(&mut client, "n"));
            assert!(k == prepared.is_ok() || refuses, "{what}");
            assert!(n == committed.is_ok() || refuses, "{what}");
            assert_eq!(is_there(&mut client, "kept"), !n, "{what}");
            assert_eq!(others(&mut client, &["k", "n", "kept", "k2"]).len(), 2);
            if k {
                client.mounts("k").expect("it is whole");
            }
            for key in ["k", "k2", "n", "kept"] {
                if is_there(&mut client, key) {
                    client.usage(key).expect("usage");
                    client.remove(key).expect("remove");
                }
            }
            client.clean_up().expect("clean up");
            assert_eq!(bench.settle(), 2, "{what}");
        }
    }
}

#[test]
fn a_removal_whose_sync_fails_leaves_the_layer() {
    if !strace_is_there() {
        return;
    }
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let store = bench.daemon.client.default_store();
    store.create("kept", None).expect("create");
    let layers = || fs::read_dir(bench.lab.home(&store.name).join("layers")).expect("list");
    let tracer = inject(&bench.daemon, "fsync", "error=EIO", 1);
    let problem = store.remove("kept").expect_err("it cannot be made sure");
    end(tracer);
    assert_eq!(problem.status, 500, "{problem:?}");
    assert_eq!((store.ids(), layers().count()), (vec!["kept".into()], 1));
    store.create("child", Some("kept")).expect("it is whole");
    store.remove("child").expect("remove");
    store.remove("kept").expect("remove");
    assert_eq!(layers().count(), 0);
}

/// What was acknowledged is on the device: a copy of what the device has been given so far has it.
fn acknowledged_is_on_the_device(file_system: FileSystem, driver: &str, options: &str) {
    let bench = Bench::start(file_system, driver);
    let at = bench.lab.path("fs");
    let at = at.to_str().expect("text").to_owned();
    if !options.is_empty() {
        // Nothing gets to the device because time passes.
        run(&["mount", "-o", &format!("remount,{options}"), &at]);
    }
    let mut client = bench.client();
    commit(&mut client, "base", "");
    let mut cuts = Vec::new();
    for number in 0..4 {
        let key = format!("k{number}");
        client.prepare(&key, "base", &none()).expect("prepare");
        cuts.push((
            bench.lab.cut(&format!("cut-{}", 3 * number)),
            client.lines(),
        ));
        let mounts = client.mounts(&key).expect("mounts");
        fs::write(upper(&mounts).join("file"), "content").expect("write");
        let name = format!("n{number}");
        client.commit(&name, &key, "base", &none()).expect("commit");
        cuts.push((
            bench.lab.cut(&format!("cut-{}", 3 * number + 1)),
            client.lines(),
        ));
        if number % 2 == 0 {
            client.remove(&name).expect("remove");
            cuts.push((
                bench.lab.cut(&format!("cut-{}", 3 * number + 2)),
                client.lines(),
            ));
        }
    }
    let settings = bench.daemon.settings.clone();
    let Bench { daemon, lab, .. } = bench;
    assert!(daemon.stop().success());
    for (image, lines) in cuts {
        run(&["umount", &at]);
        run(&["mount", "-o", "loop", image.to_str().expect("text"), &at]);
        let daemon = settings.start();
        let mut client = Snapshotter::new(&lab.path("run/containerd.sock"));
        assert_eq!(client.lines(), lines, "{}", image.display());
        for line in lines {
            let key = line.split('"').nth(1).expect("a key");
            client.usage(key).expect("its layer is there");
            if line.starts_with("COMMITTED") {
                client.view("v", key).expect("it can be shown");
                client.remove("v").expect("remove");
            }
        }
        let files = contents(&lab.home("containerd"));
        let file = |(path, content): (&String, &String)| {
            !path.ends_with("/file") || content == "content" || content.is_empty()
        };
        assert!(files.iter().all(file), "{files:?}");
        daemon.kill();
    }
}

#[test]
fn acknowledged_snapshots_survive_a_power_cut_on_ext4() {
    acknowledged_is_on_the_device(FileSystem::Ext4, "overlay", "commit=300");
}

#[test]
fn acknowledged_snapshots_survive_a_power_cut_on_xfs() {
    acknowledged_is_on_the_device(FileSystem::Xfs, "overlay", "");
}

#[test]
fn acknowledged_snapshots_survive_a_power_cut_on_btrfs() {
    acknowledged_is_on_the_device(FileSystem::Btrfs, "btrfs", "commit=300");
}
