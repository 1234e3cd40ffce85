//! Which build a driver has after a swap, a rollback, a crash and a restart: always one, and the one that was told.

use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::build::{hello_driver, noted};
use mica_tests::client::{Against, Client};
use mica_tests::command::mica;
use mica_tests::daemon::Settings;
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::listing;
use mica_tests::setup::{self, Bench};
use serde_json::Value;

fn driver(client: &Client) -> Value {
    client.get("/v1/drivers/hello").expect("the driver")
}

fn digest(client: &Client) -> String {
    let driver = driver(client);
    driver["digest"].as_str().expect("a digest").to_owned()
}

/// Swaps to another build, and says which digest it has.
fn swap(client: &Client, note: &str) -> String {
    let component = noted(hello_driver(), note);
    let report = client.swap_driver("hello", Some(&component));
    let report = report.unwrap_or_else(|problem| panic!("{note}: {problem:?}"));
    report["new_digest"].as_str().expect("a digest").to_owned()
}

/// The builds of the history, each with its number, its state, and whether it is kept.
fn told(client: &Client) -> Vec<(u64, String, bool)> {
    let builds = client.builds("hello").into_iter().map(|build| {
        let state = build["state"].as_str().expect("a state").to_owned();
        let kept = build["kept"].as_bool().expect("a truth value");
        (build["number"].as_u64().expect("a number"), state, kept)
    });
    builds.collect()
}

/// The one build that is active, by its digest.
fn active(client: &Client) -> String {
    let builds = client.builds("hello").into_iter();
    let is_active = |build: &Value| matches!(build["state"].as_str(), Some("active" | "baking"));
    let active: Vec<_> = builds.filter(is_active).collect();
    assert_eq!(active.len(), 1, "{active:?}");
    active[0]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_rollback_works_after_any_restart_and_goes_further_back_each_time() {
    let mut bench = setup::HELLO_EXT4.start();
    bench.store.create("l", None).expect("create");
    let first = digest(&bench.daemon.client);
    let second = swap(&bench.daemon.client, "2");
    let third = swap(&bench.daemon.client, "3");
    for (expected, rest) in [(&third, 3), (&second, 2), (&first, 1)] {
        for kill in [true, false] {
            bench = bench.restart(|daemon| match kill {
                true => daemon.kill(),
                false => assert!(daemon.stop().success()),
            });
            let client = &bench.daemon.client;
            assert_eq!((&digest(client), &active(client)), (expected, expected));
        }
        bench.store.view("l").expect("mount");
        bench.store.unmount("l").expect("unmount");
        let client = &bench.daemon.client;
        let back = client.roll_back("hello", "");
        match rest {
            1 => back
                .expect_err("there is no more")
                .is(400, "invalid-option", "history"),
            _ => assert_eq!(back.expect("roll back")["old_digest"], expected.as_str()),
        }
    }
    let client = &bench.daemon.client;
    assert_eq!(
        client.roll_back("hello", "?to=3").expect("roll back")["new_digest"],
        third.as_str()
    );
    for (query, status, code) in [
        ("?to=99", 400, "invalid-option"),
        ("?shipped=true", 400, "invalid-option"),
        ("?to=1&shipped=true", 400, "invalid-request"),
        ("?too=1", 400, "invalid-request"),
    ] {
        let refused = client.roll_back("hello", query).expect_err(query);
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (status, code),
            "{query}"
        );
    }
    assert_eq!(active(client), third);
}

#[test]
fn the_last_three_builds_are_kept_and_told_of() {
    let bench = setup::HELLO_EXT4.start();
    let client = &bench.daemon.client;
    let kept = |root: &Path| {
        let entries = std::fs::read_dir(root.join("drivers/hello")).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".wasm"))
            .count()
    };
    for note in ["2", "3", "4", "5"] {
        swap(client, note);
    }
    let states: Vec<_> = told(client)
        .into_iter()
        .map(|(number, _, kept)| (number, kept))
        .collect();
    assert_eq!(
        states,
        [(5, true), (4, true), (3, true), (2, false), (1, false)]
    );
    assert_eq!(kept(&bench.lab.root()), 3);
    let refused = client
        .roll_back("hello", "?to=1")
        .expect_err("it is not kept");
    refused.is(400, "invalid-option", "not kept any more");
    let table = mica(&client.socket, &["driver", "history", "hello"]).worked();
    assert_eq!(table.lines().count(), 6, "{table}");
    let text = mica(
        &client.socket,
        &["driver", "rollback", "hello", "--to", "3"],
    )
    .worked();
    assert!(text.contains("build 3"), "{text}");
    let json = mica(
        &client.socket,
        &["--output", "json", "driver", "history", "hello"],
    )
    .worked();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    // It was swapped away before it had baked, so it bakes again.
    assert_eq!(json["builds"][2]["state"], "baking", "{json}");
    let kept = json["builds"].as_array().expect("builds").iter();
    let kept: Vec<_> = kept.map(|build| build["kept"] == true).collect();
    assert_eq!(kept, [true, true, true, false, false]);
}

/// A daemon with the example in its drivers directory.
fn with_directory(lab: &Lab) -> Settings {
    let directory = lab.path("drivers");
    std::fs::create_dir_all(&directory).expect("make a directory");
    std::fs::write(directory.join("hello.wasm"), hello_driver()).expect("write");
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "");
    let directory = directory.to_str().expect("text").to_owned();
    settings.arguments = vec!["--drivers-dir".to_owned(), directory];
    settings
}

#[test]
fn what_ships_is_followed_until_a_swap_and_after_a_rollback_to_it() {
    let lab = Lab::on(FileSystem::Machine);
    let settings = with_directory(&lab);
    let file = lab.path("drivers/hello.wasm");
    let daemon = settings.start();
    let first = digest(&daemon.client);
    let history = daemon
        .client
        .get("/v1/drivers/hello/history")
        .expect("a history");
    assert_eq!(history["follows_shipped"], true, "{history}");
    drop(daemon);
    // Another file is another build at the next start, as another program is.
    std::fs::write(&file, noted(hello_driver(), "newer")).expect("write");
    let daemon = settings.start();
    let newer = digest(&daemon.client);
    assert_ne!(newer, first);
    let swapped = swap(&daemon.client, "swapped");
    daemon.client.roll_back("hello", "").expect("roll back");
    assert_eq!(digest(&daemon.client), newer);
    daemon.kill();
    std::fs::write(&file, noted(hello_driver(), "upgraded")).expect("write");
    let daemon = settings.start();
    // What ships is followed; the build that it has replaced is kept.
    let back = daemon.client.roll_back("hello", "").expect("roll back");
    assert_eq!(back["new_digest"], newer.as_str());
    let again = noted(hello_driver(), "swapped");
    daemon
        .client
        .swap_driver("hello", Some(&again))
        .expect("swap");
    daemon.kill();
    std::fs::write(&file, noted(hello_driver(), "newest")).expect("write");
    let daemon = settings.start();
    assert_eq!(
        digest(&daemon.client),
        swapped,
        "a swap counts more than what ships"
    );
    let report = daemon
        .client
        .roll_back("hello", "?shipped=true")
        .expect("roll back");
    let newest = report["new_digest"].as_str().expect("a digest").to_owned();
    assert_ne!(newest, newer);
    assert_eq!(driver(&daemon.client)["origin"], "directory");
    let back = daemon.client.roll_back("hello", "").expect("roll back");
    assert_eq!(back["new_digest"], swapped.as_str());
    daemon
        .client
        .roll_back("hello", "?shipped=true")
        .expect("roll back");
    daemon.kill();
    std::fs::write(&file, hello_driver()).expect("write");
    let daemon = settings.start();
    assert_eq!(digest(&daemon.client), first, "what ships is followed");
    assert_eq!(active(&daemon.client), first);
}

#[test]
fn a_damaged_component_or_record_is_told_and_what_ships_is_taken() {
    let lab = Lab::on(FileSystem::Machine);
    let settings = with_directory(&lab);
    let place = lab.root().join("drivers/hello");
    let daemon = settings.start();
    let shipped = digest(&daemon.client);
    let swapped = swap(&daemon.client, "swapped");
    daemon.kill();
    let component = place.join(format!("{}.wasm", &swapped["sha256:".len()..]));
    let bytes = std::fs::read(&component).expect("read");
    for (what, damage) in [
        ("a component", component.clone()),
        ("a record", place.join("history.json")),
    ] {
        std::fs::write(&damage, "damaged").expect("write");
        let daemon = settings.start();
        assert_eq!(digest(&daemon.client), shipped, "{what}");
        let problems = daemon.client.get("/v1/status").expect("status")["problems"].to_string();
        assert!(problems.contains("hello"), "{what}: {problems}");
        daemon.kill();
        std::fs::write(&component, &bytes).expect("write");
    }
}

#[test]
fn what_an_earlier_build_of_mica_kept_is_taken_over() {
    let lab = Lab::on(FileSystem::Machine);
    let settings = Settings::new(&lab.root(), &lab.path("run"), "");
    settings.start().kill();
    let earlier = lab.root().join("drivers/hello.wasm");
    std::fs::write(&earlier, hello_driver()).expect("write");
    for _ in 0..2 {
        let daemon = settings.start();
        assert_eq!(driver(&daemon.client)["origin"], "uploaded");
        assert_eq!(active(&daemon.client), digest(&daemon.client));
        assert!(!earlier.exists());
        daemon.kill();
    }
}

/// The system calls between which a swap may be cut in two.
const CALLS: &[&str] = &[
    "renameat2,renameat,rename",
    "fsync,fdatasync",
    "openat",
    "unlink,unlinkat",
    "write",
];

/// Two builds of the example, one of which runs.
struct Builds {
    components: [Vec<u8>; 2],
    digests: [String; 2],
}

impl Builds {
    /// Has both compiled, so that what is cut in two is the swap.
    fn of(client: &Client) -> Self {
        let second = swap(client, "2");
        client.roll_back("hello", "").expect("roll back");
        Self {
            components: [hello_driver(), noted(hello_driver(), "2")],
            digests: [digest(client), second],
        }
    }

    /// Kills the daemon within a swap to the build that does not run, and starts it again. Says whether the other one runs then,
    /// and whether the swap was answered.
    fn kill_within_a_swap(&self, bench: Bench, calls: &str, when: u32) -> (Bench, bool, bool) {
        let Bench { daemon, store, lab } = bench;
        let settings = daemon.settings.clone();
        let before = digest(&daemon.client);
        let other = usize::from(before == self.digests[0]);
        let wanted = &self.digests[other];
        let tracer = inject(&daemon, calls, "signal=SIGKILL", when);
        let (target, body) = (
            "/v1/drivers/hello/swap",
            Body::Bytes(&self.components[other]),
        );
        let answer = daemon.client.try_send("POST", target, body);
        let is_answered = answer.is_ok_and(|answer| answer.complete && answer.status == 200);
        daemon.kill();
        end(tracer);
        let daemon = settings.start();
        let after = active(&daemon.client);
        assert_eq!(after, digest(&daemon.client), "{calls} {when}");
        assert!(
            after == before || after == *wanted,
            "{calls} {when}: {after}"
        );
        assert!(
            !is_answered || after == *wanted,
            "{calls} {when}: it is lost"
        );
        store.view("l").expect("mount");
        store.unmount("l").expect("unmount");
        (Bench { daemon, store, lab }, after == *wanted, is_answered)
    }
}

#[test]
fn a_daemon_killed_at_any_step_of_a_swap_comes_up_with_one_build() {
    if !strace_is_there() {
        return;
    }
    let mut bench = setup::HELLO_EXT4.start();
    bench.store.create("l", None).expect("create");
    let builds = Builds::of(&bench.daemon.client);
    let (started, mut outcomes) = (Instant::now(), [0, 0]);
    'sweep: for calls in CALLS {
        for when in 1..=60 {
            let (again, is_new, is_answered) = builds.kill_within_a_swap(bench, calls, when);
            bench = again;
            outcomes[usize::from(is_new)] += 1;
            if started.elapsed() > Duration::from_secs(150) {
                println!("stopped at {calls}, {when}: time is up");
                break 'sweep;
            }
            if is_answered {
                break;
            }
        }
    }
    let [old, new] = outcomes;
    println!("{old} starts with the old build, {new} with the new");
    assert!(old > 0 && new > 0, "{old} and {new}");
}

/// Operations that run on the build of a digest after it was replaced.
fn running_on(client: &Client, digest: &str) -> u64 {
    let replaced = driver(client)["replaced"].clone();
    let mut builds = replaced.as_array().cloned().unwrap_or_default().into_iter();
    let build = builds.find(|build| build["digest"] == digest);
    build.map_or(0, |build| build["running"].as_u64().expect("a number"))
}

/// Waits until something is so, and as long as that takes on a busy machine.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn transfers_go_on_with_the_build_that_they_began_with() {
    let bench = setup::HELLO_EXT4.start();
    let (store, client) = (&bench.store, &bench.daemon.client);
    let bytes = archive("f file fill=3000000\nf last data=end\n");
    for id in ["upload", "large"] {
        store.create(id, None).expect("create");
    }
    let large = archive("f file fill=30000000\n");
    store.apply("large", &large).expect("apply");
    let first = digest(client);
    let begin = |method, target: &str, body| {
        http::begin(&client.socket, method, target, &[], body).expect("begin")
    };
    let mut upload = begin("PUT", &store.target("upload", "/diff"), Body::Bytes(&bytes));
    let target = store.target("large", "/diff?parent=");
    let mut download = BufReader::new(begin("GET", &target, Body::Empty));
    download
        .read_exact(&mut [0; 1000])
        .expect("the first bytes");
    let mut parts = bytes.chunks(500_000);
    upload
        .write_all(parts.next().expect("a part"))
        .expect("send");
    wait("they do not begin", || driver(client)["running"] == 2);
    let component = noted(hello_driver(), "2");
    let report = client.swap_driver("hello", Some(&component)).expect("swap");
    assert_eq!(report["running_on_old"], 2, "{report}");
    let operations = report["running"].as_array().expect("operations").iter();
    let names = operations.map(|one| one["operation"].as_str().expect("a name"));
    let names: std::collections::BTreeSet<_> = names.collect();
    assert!(names.iter().eq(&["apply", "diff"]), "{names:?}");
    for (number, part) in parts.enumerate() {
        swap(client, &format!("{}", 3 + number));
        assert_eq!(running_on(client, &first), 2, "after {number} more swaps");
        upload.write_all(part).expect("send");
    }
    let answer = http::read_response(&mut BufReader::new(upload)).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let diff = store.diff("upload", Against::Parent).expect("diff");
    assert!(
        listing::lines(&diff).contains("last"),
        "the upload is not whole"
    );
    let mut rest = Vec::new();
    download.read_to_end(&mut rest).expect("the rest");
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "the archive broke off");
    wait("the first build has operations", || {
        running_on(client, &first) == 0
    });
}

#[test]
fn a_build_that_is_quarantined_is_not_swapped_for_itself() {
    use mica_tests::build::hostile_driver;
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let client = &daemon.client;
    let broken = hostile_driver("hostile", "");
    client.load_driver(&broken).expect("load");
    let store = client
        .create_store("s", "hostile", &serde_json::json!({}))
        .expect("a store");
    store.create("get-trap", None).expect("create");
    for _ in 0..2 {
        store.view("get-trap").expect_err("it traps");
    }
    for component in [None, Some(&*broken)] {
        let refused = client.swap_driver("hostile", component);
        refused.expect_err("it is the same").is(
            422,
            "driver-rejected",
            "mica driver rollback hostile",
        );
    }
    // Another build is none that broke.
    let other = noted(broken, "2");
    client.swap_driver("hostile", Some(&other)).expect("swap");
    client.roll_back("hostile", "").expect("roll back");
}

#[test]
fn a_driver_is_tried_before_it_is_loaded() {
    use mica_tests::build::hostile_driver;
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    for fault in ["init", "create", "get"] {
        let refused = daemon.client.load_driver(&hostile_driver("hostile", fault));
        refused
            .expect_err(fault)
            .is(422, "driver-rejected", "scratch store");
    }
    let gone = daemon.client.get("/v1/drivers/hostile");
    gone.expect_err("it is not loaded")
        .is(404, "unknown-driver", "hostile");
}
