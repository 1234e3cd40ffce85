//! A disk that is full, or cannot be written to, does not make Mica useless.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::client::{Against, Store};
use mica_tests::containerd::{Bench, Labels, Mount, Snapshotter};
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::lab::{FileSystem, run};
use serde_json::Value;
use tonic::Code;

/// How long the daemon may take to free what was removed.
const SWEEP: Duration = Duration::from_secs(30);

fn none() -> Labels {
    Labels::new()
}

/// The directory that a snapshot's changes go to.
fn upper(mounts: &[Mount]) -> PathBuf {
    let options = mounts[0].options.iter();
    let mut uppers = options.filter_map(|option| option.strip_prefix("upperdir="));
    PathBuf::from(uppers.next().unwrap_or(&mounts[0].source))
}

fn commit(client: &mut Snapshotter, name: &str) {
    let mounts = client.prepare("x", "", &none()).expect("prepare");
    fs::write(upper(&mounts).join("f"), vec![b'y'; 300_000]).expect("write");
    client.commit(name, "x", "", &none()).expect("commit");
}

fn fill_layer(store: &Store, id: &str) {
    store.create(id, None).expect("create");
    let content = archive(&format!("f big fill={}\n", 1 << 20));
    store.apply(id, &content).expect("apply");
}

/// Takes every block of a file system, and says where they are.
fn fill(bench: &Bench, name: &str) -> PathBuf {
    let place = bench.lab.path("fs").join(name);
    fs::create_dir(&place).expect("make a directory");
    for (number, size) in [64 << 10, 4 << 10, 512].into_iter().enumerate() {
        let mut file = File::create(place.join(number.to_string())).expect("make a file");
        let part = vec![1; size];
        while file.write_all(&part).is_ok() {}
        file.sync_all().ok();
    }
    let more = fs::write(place.join("more"), "x").expect_err("a block is free");
    assert_eq!(more.kind(), std::io::ErrorKind::StorageFull);
    place
}

fn problems(bench: &Bench) -> Vec<Value> {
    let status = bench.daemon.client.get("/v1/status").expect("status");
    status["problems"].as_array().expect("a list").clone()
}

/// Tries until it works: what was removed is freed in the background.
fn soon<T, E: std::fmt::Debug>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + SWEEP;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{what}: {error:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Everything of a directory that is named after layers.
fn is_swept(home: &Path) -> Result<(), String> {
    let left =
        ["staging", "trash"].map(|area| fs::read_dir(home.join(area)).map_or(0, Iterator::count));
    match left {
        [0, 0] => Ok(()),
        left => Err(format!("{left:?} are left")),
    }
}

fn a_full_disk_is_freed_by_removing(driver: &str, is_restarted: bool) {
    let mut bench = Bench::start(FileSystem::SmallExt4, driver);
    let mut client = bench.client();
    for name in ["c0", "c1", "c2", "c3"] {
        commit(&mut client, name);
    }
    let store = bench.daemon.client.default_store();
    fill_layer(&store, "one");
    store.create("two", None).expect("create");
    for (round, removed) in [["c0", "c1"], ["c2", "c3"]].iter().enumerate() {
        fill(&bench, &format!("fill{round}"));
        if is_restarted {
            bench = bench.restart(|daemon| daemon.kill());
        }
        assert_eq!(problems(&bench), Vec::<Value>::new(), "round {round}");
        let store = bench.daemon.client.default_store();
        let mut client = bench.client();
        let there = if round == 0 { 2 } else { 1 };
        assert_eq!(store.ids().len(), there, "round {round}");
        // What needs room is refused for that reason, and leaves nothing.
        let committed = client
            .prepare("big", "", &none())
            .and_then(|_| client.commit("bigger", "big", "", &none()));
        if let Err((code, message)) = committed {
            assert_eq!(code, Code::ResourceExhausted, "{message}");
        }
        let content = archive(&format!("f big fill={}\n", 1 << 20));
        let created = store.create("three", None);
        let refused = created.and_then(|_| store.apply("three", &content));
        refused
            .expect_err("there is no room")
            .is(507, "no-space", "no space left");
        for key in ["big", "bigger"] {
            client.remove(key).ok();
        }
        store.remove("three").ok();
        for name in removed {
            client
                .remove(name)
                .unwrap_or_else(|error| panic!("round {round}: {name}: {error:?}"));
        }
        if round == 0 {
            store.remove("one").expect("remove a layer");
        }
        soon("prepare again", || client.prepare("new", "", &none()));
        client.remove("new").expect("remove");
        soon("create again", || store.create("three", None));
        store.remove("three").expect("remove");
        client.clean_up().expect("clean up");
        soon("sweep", || is_swept(&bench.home("")));
    }
    bench.assert_empty();
}

#[test]
fn a_full_disk_is_freed_by_removing_layers_of_overlay() {
    a_full_disk_is_freed_by_removing("overlay", false);
}

#[test]
fn mica_starts_on_a_full_disk_and_frees_it_with_overlay() {
    a_full_disk_is_freed_by_removing("overlay", true);
}

#[test]
fn mica_starts_on_a_full_disk_and_frees_it_with_vfs() {
    a_full_disk_is_freed_by_removing("vfs", true);
}

/// docker/for-mac#5691, containers/storage#1354: what a container made immutable or append-only goes with its layer.
#[test]
fn files_that_forbid_their_removal_are_removed() {
    for driver in ["overlay", "vfs"] {
        let bench = Bench::start(FileSystem::Ext4, driver);
        let store = bench.daemon.client.default_store();
        let home = bench.lab.home(&store.name);
        store.create_read_write("box", None).expect("create");
        let path = store.mount("box").expect("mount");
        for directory in ["d/e", "empty"] {
            fs::create_dir_all(path.join(directory)).expect("make a directory");
        }
        for file in ["f", "d/log", "d/e/g"] {
            fs::write(path.join(file), file).expect("write");
        }
        for (flag, name) in [
            ("+i", "f"),
            ("+a", "d/log"),
            ("+i", "d/e/g"),
            ("+i", "d/e"),
            ("+a", "d"),
            ("+i", "empty"),
            ("+i", "."),
        ] {
            let name = path.join(name);
            run(&["chattr", flag, name.to_str().expect("text")]);
        }
        store.unmount("box").expect("unmount");
        store.remove("box").expect("remove");
        soon("sweep", || is_swept(&home));
        assert_eq!(fs::read_dir(home.join("layers")).expect("list").count(), 0);
        assert_eq!(problems(&bench), Vec::<Value>::new(), "{driver}");
    }
}

#[test]
fn what_cannot_be_deleted_is_told_until_it_is_gone() {
    if !strace_is_there() {
        return;
    }
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let store = bench.daemon.client.default_store();
    let home = bench.lab.home(&store.name);
    fill_layer(&store, "stays");
    let tracer = inject(&bench.daemon, "unlinkat", "error=EIO", "1+");
    store.remove("stays").expect("it is out of sight");
    let told = soon("tell", || match problems(&bench).as_slice() {
        [] => Err("nothing is told"),
        [problem, ..] => Ok(problem["detail"].as_str().expect("a text").to_owned()),
    });
    assert!(
        told.contains("trash/") && told.contains("cannot be deleted"),
        "{told}"
    );
    end(tracer);
    bench.client().clean_up().expect("clean up");
    soon("forget", || match problems(&bench).len() {
        0 => Ok(()),
        count => Err(count),
    });
    soon("sweep", || is_swept(&home));
}

/// What ext4 cannot keep for one file is no full disk.
#[test]
fn an_attribute_that_is_too_large_is_not_called_no_space() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let store = bench.daemon.client.default_store();
    store.create("one", None).expect("create");
    let large = "v".repeat(20_000);
    let content = archive(&format!("f file data=x x:user.large={large}\n"));
    let problem = store.apply("one", &content).expect_err("it does not fit");
    assert!(
        problem.status != 507 && !problem.detail.contains("o space left"),
        "{problem:?}"
    );
    assert!(problem.detail.contains("attributes"), "{problem:?}");
}

#[test]
fn a_read_only_file_system_serves_what_is_read() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    commit(&mut client, "c0");
    let store = bench.daemon.client.default_store();
    fill_layer(&store, "one");
    let (lines, whole) = (
        client.lines(),
        store.diff("one", Against::Parent).expect("an archive"),
    );
    let settings = bench.daemon.settings.clone();
    assert!(bench.daemon.stop().success());
    bench.lab.make_read_only();
    bench.daemon = settings.start();
    let store = bench.daemon.client.default_store();
    assert_eq!(store.ids(), ["one"]);
    assert_eq!(
        store.diff("one", Against::Parent).expect("an archive"),
        whole
    );
    let mut client = bench.client();
    assert_eq!(client.lines(), lines);
    client.usage("c0").expect("usage");
    let refused = store
        .create("two", None)
        .expect_err("nothing can be written");
    assert!(refused.detail.contains("ead-only"), "{refused:?}");
    let (_, message) = client.remove("c0").expect_err("nothing can be written");
    assert!(
        message.contains("ead-only") || message.contains("readonly"),
        "{message}"
    );
    assert_eq!(client.lines(), lines);
}
