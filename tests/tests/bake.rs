//! A build passes everything that is tried before it takes over, and is worse than the one before: that one is back after five
//! failed calls at most, mounts stay, and other stores go on.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::build::hostile_full_driver;
use mica_tests::client::{Against, Answer, Client, Store};
use mica_tests::command::mica;
use mica_tests::containerd::Snapshotter;
use mica_tests::daemon::Settings;
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::Bench;
use serde_json::{Value, json};

/// Calls that may fail before the build before is back.
const MOST_FAILED: usize = 5;
/// Calls that are made of a bad build: enough for any of its defects to be found.
const CALLS: usize = 40;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// A guest that computes without end is ended soon, and a bake ends when the test says so.
const CONFIGURATION: &str = "bake_seconds = 3600\n[limits]\nstall_seconds = 1\n";

/// A daemon on which a good build runs, with a store that has a mounted layer and one that is served by another driver.
struct Rig {
    bench: Bench,
    store: Store,
    path: PathBuf,
    mount: u64,
    good: String,
}

fn good() -> Vec<u8> {
    hostile_full_driver("hostile", "")
}

fn bad() -> Vec<u8> {
    hostile_full_driver("hostile", "late")
}

impl Rig {
    fn start(configuration: &str) -> Self {
        let lab = Lab::on(FileSystem::Machine);
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
        settings.configuration = Some(configuration.to_owned());
        let daemon = settings.start();
        let client = &daemon.client;
        let view = client.load_driver(&good()).expect("load");
        let store = client.create_store("late", "hostile", &json!({}));
        let store = store.expect("a store");
        store.create("held", None).expect("create");
        let path = store.mount("held").expect("mount");
        let mount = lab.mount_id(&path);
        Self {
            good: view["digest"].as_str().expect("a digest").to_owned(),
            bench: Bench {
                store: daemon.client.default_store(),
                daemon,
                lab,
            },
            store,
            path,
            mount,
        }
    }

    fn client(&self) -> &Client {
        &self.bench.daemon.client
    }

    fn driver(&self) -> Value {
        let driver = self.client().get("/v1/drivers/hostile");
        driver.expect("the driver")
    }

    /// Waits until the good build runs for good.
    fn await_good(&self, about: &str) -> Value {
        let begun = Instant::now();
        loop {
            let driver = self.driver();
            if driver["digest"] == self.good.as_str() {
                return driver;
            }
            assert!(begun.elapsed() < PATIENCE, "{about}: {driver}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nobody else has noticed anything.
    fn check_others(&self, about: &str) {
        assert_eq!(self.bench.lab.mount_id(&self.path), self.mount, "{about}");
        std::fs::write(self.path.join("written"), about).expect("the mount works");
        self.bench.store.create("other", None).expect("create");
        self.bench.store.view("other").expect("mount");
        self.bench.store.unmount("other").expect("unmount");
        self.bench.store.remove("other").expect("remove");
    }
}

/// How many calls a defect may fail: one without a stream is answered by the build before, but for a lie, which nobody can tell
/// at once.
fn most_failed(kind: &str, call: &str) -> usize {
    match (kind, call) {
        ("lie", _) | (_, "apply" | "diff") => MOST_FAILED,
        _ => 0,
    }
}

/// One call of a bad build: whether it went well, and was answered with the truth.
type Act = fn(&Store, &str) -> bool;

fn works<T>(answer: Answer<T>) -> bool {
    answer.is_ok()
}

fn create(store: &Store, id: &str) -> bool {
    works(store.create(id, None))
}

fn mount(store: &Store, id: &str) -> bool {
    works(store.view(id)) && works(store.unmount(id))
}

fn apply(store: &Store, id: &str) -> bool {
    works(store.apply(id, &archive("f file data=1\n")))
}

/// What an archive without entries is.
fn is_empty(archive: &[u8]) -> bool {
    archive.len() == 1024
}

fn diff(store: &Store, id: &str) -> bool {
    let target = store.target(id, "/diff?parent=");
    let answer = store.client.send("GET", &target, Body::Empty);
    answer.status == 200 && answer.complete && is_empty(&answer.body)
}

fn changes(store: &Store, id: &str) -> bool {
    let answer = store
        .client
        .send("GET", &store.target(id, "/changes?parent="), Body::Empty);
    answer.status == 200 && answer.complete && answer.json()["changes"] == json!([])
}

/// Defects: the second word of a layer's id, the call, how it is made, and what the evidence says.
const DEFECTS: [(&str, &str, Act, &str); 13] = [
    ("trap", "create", create, "failed calls"),
    (
        "trap",
        "remove",
        |store, id| works(store.remove(id)),
        "failed calls",
    ),
    ("trap", "get", mount, "answered otherwise"),
    (
        "trap",
        "size",
        |store, id| works(store.size(id, Against::Nothing)),
        "failed calls",
    ),
    ("trap", "apply", apply, "broke in calls with streams"),
    ("trap", "diff", diff, "broke in calls with streams"),
    ("loop", "get", mount, "answered otherwise"),
    ("slow", "get", mount, "is slow in `"),
    (
        "refuse",
        "remove",
        |store, id| works(store.remove(id)),
        "failed calls",
    ),
    ("refuse", "apply", apply, "refused streams"),
    ("layout", "create", create, "answered otherwise"),
    (
        "lie",
        "size",
        |store, id| store.size(id, Against::Nothing).is_ok_and(|size| size == 0),
        "answered otherwise",
    ),
    ("lie", "changes", changes, "answered otherwise"),
];

/// Makes calls, each of a layer of its own, until the good build is back for good; says how many failed.
fn call_until_it_is_back<'a>(rig: &Rig, ids: impl Iterator<Item = &'a String>, act: Act) -> usize {
    let mut failed = 0;
    for id in ids {
        failed += usize::from(!act(&rig.store, id));
        if rig.driver()["went_back"].is_object() {
            break;
        }
    }
    failed
}

#[test]
fn a_build_that_is_worse_goes_back_by_itself_after_five_failed_calls_at_most() {
    let rig = Rig::start(CONFIGURATION);
    for (kind, call, act, says) in DEFECTS {
        let about = format!("{kind} in {call}");
        let ids: Vec<String> = (0..CALLS)
            .map(|number| format!("late-{kind}-{call}-{number}"))
            .collect();
        let create_all = || {
            ids.iter()
                .for_each(|id| assert!(create(&rig.store, id), "{about}"))
        };
        if !matches!(call, "create" | "get") {
            create_all();
        }
        if kind == "slow" {
            // What is slow, is slower than something.
            for number in 0..CALLS {
                let id = format!("quick-{number}");
                rig.store.create(&id, None).expect("create");
                assert!(mount(&rig.store, &id));
                rig.store.remove(&id).expect("remove");
            }
        }
        let swapped = rig.client().swap_driver("hostile", Some(&bad()));
        let swapped = swapped.unwrap_or_else(|problem| panic!("{about}: {problem:?}"));
        assert_eq!(swapped["bake_seconds"], 3600, "{about}: {swapped}");
        if call == "get" {
            // Made by the new build, for it is asked about those that are there before.
            create_all();
        }
        // Only what is slow works each time.
        let rounds = if kind == "slow" { 20 } else { 1 };
        let all = ids.iter().cycle().take(rounds * CALLS);
        let failed = call_until_it_is_back(&rig, all, act);
        assert!(
            failed <= most_failed(kind, call),
            "{about}: {failed} calls failed"
        );
        let driver = rig.await_good(&about);
        println!("{about}: {failed} calls failed; {}", driver["went_back"]);
        let what = driver["went_back"]["what"].as_str().unwrap_or_default();
        assert!(what.contains(says), "{about}: {driver}");
        assert_eq!(
            driver["went_back"]["store"].as_str(),
            (kind != "slow").then_some("late"),
            "{about}"
        );
        rig.check_others(&about);
        for id in rig.store.ids().iter().filter(|id| *id != "held") {
            // The good build can do what the bad one could not, but for layers that lie elsewhere.
            if kind != "layout" {
                assert!(mount(&rig.store, id), "{about}: {id}");
            }
            rig.store
                .remove(id)
                .unwrap_or_else(|problem| panic!("{about}: {problem:?}"));
        }
    }
}

#[test]
fn clients_that_come_at_once_see_five_failures_at_most() {
    let rig = Rig::start(CONFIGURATION);
    let ids: Vec<String> = (0..16 * 8)
        .map(|number| format!("late-trap-diff-{number}"))
        .collect();
    for id in &ids {
        rig.store.create(id, None).expect("create");
    }
    rig.client()
        .swap_driver("hostile", Some(&bad()))
        .expect("swap");
    let failed: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = ids
            .chunks(8)
            .map(|own| {
                let store = &rig.store;
                scope.spawn(move || own.iter().filter(|id| !diff(store, id)).count())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker"))
            .sum()
    });
    assert!((3..=MOST_FAILED).contains(&failed), "{failed} calls failed");
    rig.await_good("16 clients");
    rig.check_others("16 clients");
}

#[test]
fn what_went_back_stands_in_the_status_the_lists_the_history_and_the_events() {
    let rig = Rig::start(CONFIGURATION);
    let (client, socket) = (rig.client(), &rig.client().socket);
    let events = http::begin(socket, "GET", "/v1/events", &[], Body::Empty).expect("listen");
    let mut events = BufReader::new(events);
    http::read_head(&mut events).expect("an answer");
    client.swap_driver("hostile", Some(&bad())).expect("swap");
    let told = mica(socket, &["driver", "ls"]).worked();
    assert!(told.contains("baking"), "{told}");
    let told = mica(socket, &["driver", "inspect", "hostile"]).worked();
    assert!(told.contains("takes over if it does worse"), "{told}");
    for number in 0..3 {
        // Nobody is told of a call that the build before answers.
        rig.store
            .create(&format!("late-trap-create-{number}"), None)
            .expect("create");
    }
    rig.await_good("three traps");
    let mut lines = events.lines().map(|line| line.expect("an event"));
    let told = lines.find(|line| line.starts_with("data:") && line.contains("driver.went-back"));
    assert!(told.is_some_and(|line| line.contains("late-trap-create-0")));
    let status = client.get("/v1/status").expect("status");
    let problems = status["problems"].to_string();
    assert!(problems.contains("driver `hostile` went back"), "{status}");
    assert_eq!(status["faults"], 3, "{status}");
    let told = mica(socket, &["driver", "ls"]).worked();
    assert!(told.contains("went back"), "{told}");
    let told = mica(socket, &["driver", "history", "hostile"]).worked();
    assert!(
        told.contains("build 2 went back: it failed calls"),
        "{told}"
    );
    let builds = client.builds("hostile");
    let states: Vec<_> = builds.iter().map(|build| build["state"].as_str()).collect();
    assert_eq!(states, [Some("went-back"), Some("active")]);
    let evidence = &builds[0]["evidence"];
    assert_eq!(
        (
            &evidence["calls"],
            &evidence["operation"],
            &evidence["layer"]
        ),
        (&json!(3), &json!("create"), &json!("late-trap-create-0")),
        "{evidence}"
    );
    assert!(
        evidence["first"]
            .as_str()
            .is_some_and(|first| first.contains("unreachable"))
    );
    // It is there after a restart, and until somebody has seen it.
    let Rig { bench, .. } = rig;
    let bench = bench.restart(|daemon| daemon.kill());
    let client = &bench.daemon.client;
    let problems = || client.get("/v1/status").expect("status")["problems"].to_string();
    assert!(problems().contains("driver `hostile` went back"));
    mica(&client.socket, &["driver", "release", "hostile"]).worked();
    assert_eq!(problems(), "[]");
}

#[test]
fn a_restart_begins_the_bake_again() {
    let rig = Rig::start(CONFIGURATION);
    rig.client()
        .swap_driver("hostile", Some(&bad()))
        .expect("swap");
    let Rig {
        bench,
        store,
        path,
        mount,
        good,
    } = rig;
    let rig = Rig {
        bench: bench.restart(|daemon| daemon.kill()),
        store,
        path,
        mount,
        good,
    };
    assert_eq!(rig.driver()["bake"]["before"], rig.good.as_str());
    for number in 0..3 {
        let id = format!("late-trap-create-{number}");
        rig.store
            .create(&id, None)
            .expect("the build before answers");
    }
    rig.await_good("three traps after a restart");
    rig.check_others("after a restart");
}

#[test]
fn a_build_that_may_answer_otherwise_stays() {
    let rig = Rig::start("bake_seconds = 1\n");
    rig.store.create("late-lie-size-1", None).expect("create");
    let query = "?differences=accept";
    let swapped = rig.client().swap_driver_as("hostile", Some(&bad()), query);
    let swapped = swapped.expect("swap");
    for _ in 0..8 {
        rig.store
            .size("late-lie-size-1", Against::Nothing)
            .expect("size");
    }
    let begun = Instant::now();
    while rig.driver()["bake"].is_object() {
        assert!(begun.elapsed() < PATIENCE, "it bakes for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(rig.driver()["digest"], swapped["new_digest"]);
}

#[test]
fn what_the_build_before_refuses_too_is_not_held_against_the_new_one() {
    let rig = Rig::start("bake_seconds = 1\n");
    let good = rig.good.clone();
    let swapped = rig
        .client()
        .swap_driver("hostile", Some(&bad()))
        .expect("swap");
    for number in 0..8 {
        let id = format!("get-trap-{number}");
        if rig.store.create(&id, None).is_ok() {
            rig.store.view(&id).expect_err("both builds trap");
        }
    }
    let begun = Instant::now();
    while rig.driver()["bake"].is_object() {
        assert!(begun.elapsed() < PATIENCE, "it bakes for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(rig.driver()["digest"], swapped["new_digest"]);
    assert_ne!(rig.driver()["digest"], good.as_str());
    assert!(
        rig.driver()["quarantines"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
}

#[test]
fn a_build_that_cannot_show_or_describe_what_is_there_is_refused_by_store_and_layer() {
    let rig = Rig::start(CONFIGURATION);
    for (id, says) in [
        (
            "late-trap-get-1",
            "cannot show layer `late-trap-get-1` of store `late`",
        ),
        (
            "late-layout-get-1",
            "cannot show layer `late-layout-get-1` of store `late`",
        ),
        (
            "late-trap-metadata-1",
            "cannot describe layer `late-trap-metadata-1` of store `late`",
        ),
    ] {
        rig.store.create(id, None).expect("create");
        let before = rig.driver();
        let refused = rig.client().swap_driver("hostile", Some(&bad()));
        refused.expect_err(id).is(422, "driver-rejected", says);
        assert_eq!(rig.driver(), before, "{id}: something changed");
        assert_eq!(rig.client().builds("hostile").len(), 1);
        rig.store.remove(id).expect("remove");
    }
    let elsewhere = hostile_full_driver("hostile", "layout");
    let refused = rig.client().swap_driver("hostile", Some(&elsewhere));
    refused
        .expect_err("no way back")
        .is(422, "driver-rejected", "no way back");
    // What it does in a scratch store is accepted, what it cannot show is not.
    let query = "?differences=accept";
    let refused = rig
        .client()
        .swap_driver_as("hostile", Some(&elsewhere), query);
    let says = "cannot show layer `held` of store `late`";
    refused
        .expect_err("it shows nothing")
        .is(422, "driver-rejected", says);
    rig.check_others("refused builds");
}

#[test]
fn a_build_that_cannot_show_snapshots_is_refused() {
    let lab = Lab::on(FileSystem::Machine);
    let socket = lab.path("run/containerd.sock");
    let drivers = lab.path("drivers");
    std::fs::create_dir_all(&drivers).expect("make a directory");
    std::fs::write(drivers.join("hostile.wasm"), good()).expect("write");
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.arguments = [
        "--drivers-dir",
        drivers.to_str().expect("text"),
        "--containerd-socket",
    ]
    .map(str::to_owned)
    .into();
    settings
        .arguments
        .push(socket.to_str().expect("text").to_owned());
    settings.configuration = Some("[containerd]\ndriver = \"hostile\"\n".to_owned());
    let daemon = settings.start();
    let mut snapshotter = Snapshotter::new(&socket);
    let labels = std::collections::BTreeMap::new();
    snapshotter.prepare("active", "", &labels).expect("prepare");
    let elsewhere = hostile_full_driver("hostile", "layout");
    let refused = daemon
        .client
        .swap_driver_as("hostile", Some(&elsewhere), "?differences=accept");
    let says = "of store `containerd`";
    refused
        .expect_err("it shows nothing")
        .is(422, "driver-rejected", says);
    snapshotter
        .mounts("active")
        .expect("the snapshot is still mounted as before");
}

#[test]
fn calls_are_compared_before_a_build_takes_over() {
    let rig = Rig::start(CONFIGURATION);
    for id in ["late-lie-size-1", "fine"] {
        rig.store.create(id, None).expect("create");
    }
    let over = std::sync::atomic::AtomicBool::new(false);
    let ask = |id: &str| {
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(rig.store.size(id, Against::Nothing).expect("size"), 0);
            assert!(changes(&rig.store, id));
        }
    };
    let swap = |query: &str| {
        let swapped = rig.client().swap_driver_as("hostile", Some(&bad()), query);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        swapped
    };
    std::thread::scope(|scope| {
        scope.spawn(|| ask("late-lie-size-1"));
        let refused = swap("?shadow=1000").expect_err("it lies");
        refused.is(
            422,
            "driver-rejected",
            "`size` of layer `late-lie-size-1` of store `late`",
        );
        assert!(refused.detail.contains("4711 bytes"), "{refused:?}");
    });
    assert_eq!(rig.client().builds("hostile").len(), 1);
    over.store(false, std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| ask("fine"));
        let report = swap("?shadow=20").expect("swap");
        assert!(report["calls_compared"].as_u64() >= Some(20), "{report}");
    });
    for query in [
        "?shadow=0",
        "?shadow=soon",
        "?shadow=2h",
        "?differences=maybe",
    ] {
        let refused = rig.client().swap_driver_as("hostile", None, query);
        refused.expect_err(query).is(400, "invalid-request", "");
    }
}

/// The same component again would need no bake, and so would end the one that goes on.
#[test]
fn a_build_that_bakes_is_not_put_in_its_own_place() {
    let rig = Rig::start("bake_seconds = 3600\n");
    rig.client()
        .swap_driver("hostile", Some(&bad()))
        .expect("swap");
    for again in [None, Some(bad())] {
        let problem = rig.client().swap_driver("hostile", again.as_deref());
        problem.expect_err("it bakes").is(409, "busy", "hostile");
    }
    let history = rig.client().get("/v1/drivers/hostile/history");
    let history = history.expect("history");
    assert_eq!(history["builds"][0]["state"], "baking", "{history}");
    rig.client()
        .call("POST", "/v1/drivers/hostile/rollback", Body::Empty)
        .expect("go back");
    assert_eq!(rig.driver()["digest"], rig.good.as_str());
}
