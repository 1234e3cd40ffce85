//! Drivers that misbehave: whatever a component does, one operation fails, with a reason, and nothing else happens.

use std::time::{Duration, Instant};

use mica_tests::build::hostile_driver;
use mica_tests::client::{Against, Problem};
use mica_tests::daemon::Settings;
use mica_tests::history::seen;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::Bench;
use mica_tests::tree;
use serde_json::json;

/// A daemon with the hostile driver, a store of it and a layer `victim` with something in it.
fn bench() -> Bench {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    // A driver that faults often is put away; here it is to fault often.
    settings.configuration = std::env::var("MICA_TEST_CONFIG").ok();
    let daemon = settings.start();
    daemon
        .client
        .load_driver(&hostile_driver("hostile", ""))
        .expect("load");
    let store = daemon
        .client
        .create_store("hostile", "hostile", &json!({}))
        .expect("a store");
    store.create("victim", None).expect("create");
    tree::build(
        &store.mount("victim").expect("mount"),
        "f f data=alive\nd d",
    );
    store.unmount("victim").expect("unmount");
    Bench { daemon, store, lab }
}

/// Creates a layer of this id, which must fail and leave nothing.
#[track_caller]
fn refused(bench: &Bench, id: &str) -> Box<Problem> {
    let watch = bench.watch();
    let victim = seen(&bench.store, "victim");
    let started = Instant::now();
    let problem = bench.store.create(id, None).expect_err(id);
    println!("{id}: {:?}: {problem:?}", started.elapsed());
    assert!(
        started.elapsed() < Duration::from_secs(40),
        "{id}: {:?}",
        started.elapsed()
    );
    assert_eq!(seen(&bench.store, "victim"), victim, "{id}");
    watch.check();
    problem
}

#[test]
fn traps_loops_and_gluttony_end_one_operation() {
    let cases = [
        ("trap", 500, "driver-failed"),
        ("recurse", 500, "driver-failed"),
        ("half", 500, "driver-failed"),
        ("loop", 504, "timed-out"),
        ("sleep", 504, "timed-out"),
        ("eat", 422, "limit-reached"),
        ("loop-with-calls", 422, "limit-reached"),
    ];
    for (id, status, code) in cases {
        // A daemon each: faults in a row would have the driver put away.
        let bench = bench();
        let problem = refused(&bench, id);
        assert!(status == 0 || problem.status == status, "{id}: {problem:?}");
        assert!(code.is_empty() || problem.code == code, "{id}: {problem:?}");
        assert!(
            problem.detail.contains("hostile"),
            "{id}: the driver is not named: {problem:?}"
        );
        bench
            .store
            .create("fine", None)
            .expect("the next operation works");
        bench.store.remove("fine").expect("remove");
        assert!(
            bench.daemon.resident_kib() < 600_000,
            "{id}: {} KiB",
            bench.daemon.resident_kib()
        );
    }
}

#[test]
fn what_a_driver_may_not_do_is_answered_as_the_contract_says() {
    let bench = bench();
    let cases = [
        ("discard-other", "Denied"),
        ("open-unknown", "NotFound, NotFound, NotFound, NotFound"),
        (
            "write-other",
            "ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly, ReadOnly",
        ),
        ("mount-other", "ReadOnly, ReadOnly"),
        (
            "names",
            "InvalidName, InvalidName, InvalidName, InvalidName, InvalidName, InvalidName, InvalidName, NameTooLong",
        ),
        ("escape", "Symlink, Symlink, Symlink, NotADirectory"),
        // An access list may be set since layers carry them; the crime's is none.
        ("attributes", "Denied, Denied, Denied, Invalid"),
        ("devices", "Invalid, Invalid, Invalid"),
        ("pipe", "Invalid, NotADirectory"),
        ("ranges", "Invalid, Limit, Invalid, Limit, Invalid"),
        ("hoard", "Limit"),
        ("stage-many", "Limit"),
        (
            "network",
            "PermissionDenied, PermissionDenied, PermissionDenied, Uncategorized",
        ),
    ];
    let mut wrong = Vec::new();
    for (id, answers) in cases {
        let problem = refused(&bench, id);
        let told = problem
            .detail
            .split_once("answers: ")
            .map_or("", |(_, told)| told);
        if told.trim_end_matches('`') != answers {
            wrong.push(format!("{id}: {told:?}, not {answers:?}: {problem:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn layers_are_published_as_asked_or_not_at_all() {
    for id in [
        "no-publish",
        "publish-other",
        "publish-twice",
        "trap-after-publish",
        "error-after-publish",
    ] {
        let bench = bench();
        let watch = bench.watch();
        match bench.store.create(id, None) {
            Err(problem) => println!("{id}: {problem:?}"),
            // The second publication was refused, but the first one was right.
            Ok(layer) => panic!("{id}: {layer}"),
        }
        watch.check();
        bench
            .store
            .inspect("stolen")
            .expect_err("no one asked for it")
            .is(404, "unknown-layer", "stolen");
    }
}

#[test]
fn removal_and_mounting_survive_the_driver() {
    let bench = bench();
    let create = |id: &str| {
        bench
            .store
            .create(id, None)
            .unwrap_or_else(|problem| panic!("{id}: {problem:?}"))
    };
    let watch = bench.watch();
    for id in [
        "remove-nothing",
        "get-trap",
        "put-trap",
        "get-keeps",
        "metadata-escapes",
    ] {
        create(id);
    }
    bench.store.mount("get-trap").expect_err("it traps");
    let path = bench.store.mount("get-keeps").expect("mount");
    assert!(path.is_dir());
    assert_eq!(
        bench
            .store
            .unmount("get-keeps")
            .expect("the handles went with the call"),
        0
    );
    bench.store.mount("put-trap").expect("mount");
    bench.store.unmount("put-trap").ok();
    assert!(
        !bench.lab.mount_table().contains("/m/") || bench.lab.mount_table().lines().count() <= 1,
        "still mounted"
    );
    if let Ok(metadata) = bench
        .daemon
        .client
        .get(&bench.store.target("metadata-escapes", "/metadata"))
    {
        assert!(!metadata.to_string().contains(".."), "{metadata}");
    }
    let ids = bench.store.ids();
    for id in ids.iter().filter(|id| *id != "victim") {
        let removed = bench.store.remove(id);
        if id == "remove-nothing" {
            assert!(
                removed.is_err() || !bench.store.ids().contains(id),
                "told that it is gone, and it is there"
            );
        } else {
            removed.unwrap_or_else(|problem| panic!("{id}: {problem:?}"));
        }
    }
    watch.check_disk();
}

#[test]
fn a_driver_cannot_show_another_layer_as_its_own() {
    let bench = bench();
    bench.store.create("get-other", None).expect("create");
    match bench.store.mount("get-other") {
        Err(problem) => println!("{problem:?}"),
        Ok(path) => {
            let written = std::fs::write(path.join("planted"), "x");
            bench.store.unmount("get-other").expect("unmount");
            panic!("the victim's tree is mounted read-write: {written:?}");
        }
    }
    assert!(!seen(&bench.store, "victim").contains("planted"));
}

#[test]
fn texts_of_a_driver_are_cut_and_escaped() {
    let bench = bench();
    let problem = refused(&bench, "long-error");
    assert!(
        problem.detail.len() < 16_384,
        "{} bytes",
        problem.detail.len()
    );
    assert!(
        !problem
            .detail
            .contains(|character: char| character.is_control()),
        "{:?}",
        &problem.detail[..200]
    );
    let before = bench.daemon.log().len();
    bench.store.create("flood", None).expect("create");
    let log = bench.daemon.log();
    assert!(
        log.len() - before < 300_000,
        "{} bytes of log",
        log.len() - before
    );
    assert!(!log.contains("\u{1b}[31mx"), "the log is not escaped");
    let store = bench
        .daemon
        .client
        .get("/v1/stores/hostile")
        .expect("a store");
    assert!(!store.to_string().contains("\\u001b"), "{store}");
}

#[test]
fn a_driver_that_faults_again_and_again_is_put_away() {
    let bench = bench();
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(bench.store.create("trap", None).expect_err("it traps").code);
    }
    println!("{codes:?}");
    assert_eq!(codes[0], "driver-failed");
    if let Some(last) = codes.last().filter(|code| *code != "driver-failed") {
        assert_eq!(last, "quarantined");
    }
    // Other drivers do not mind.
    let store = bench.daemon.client.default_store();
    store.create("l", None).expect("create");
    store.remove("l").expect("remove");
}

#[test]
fn only_components_of_the_right_shape_are_loaded() {
    let lab = Lab::on(FileSystem::Machine);
    let daemon = Settings::new(&lab.root(), &lab.path("run"), "vfs").start();
    let component = hostile_driver("hostile", "");
    let mut flipped = component.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    let cases: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("text", b"(component)".to_vec()),
        ("junk", mica_tests::script::noise(b"junk", 100_000)),
        ("a core module", b"\0asm\x01\0\0\0".to_vec()),
        ("an empty component", b"\0asm\x0d\0\x01\0".to_vec()),
        (
            "half a component",
            component[..component.len() / 2].to_vec(),
        ),
        ("a damaged component", flipped),
        ("a trap in describe", hostile_driver("hostile", "describe")),
    ];
    for (what, bytes) in cases {
        let problem = daemon.client.load_driver(&bytes).expect_err(what);
        println!("{what}: {problem:?}");
        assert!(
            problem.status == 422 || problem.status == 400,
            "{what}: {problem:?}"
        );
        let drivers = daemon
            .client
            .get("/v1/drivers")
            .expect("drivers")
            .to_string();
        assert!(!drivers.contains("hostile"), "{what}: {drivers}");
    }
    let target = "/v1/drivers?name=other";
    let problem = daemon
        .client
        .call("POST", target, mica_tests::http::Body::Bytes(&component))
        .expect_err("another name");
    assert!(
        problem.detail.contains("hostile") && problem.detail.contains("other"),
        "{problem:?}"
    );
    let large = vec![0; 33 << 20];
    let problem = daemon.client.load_driver(&large).expect_err("too large");
    assert!(matches!(problem.status, 413 | 422), "{problem:?}");
    assert!(daemon.answers());
}

#[test]
fn a_capability_that_was_not_granted_is_named() {
    let lab = Lab::on(FileSystem::Machine);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    settings.configuration = Some(
        "[drivers.hostile]\ngrants = [\"directory\", \"home\", \"streams\", \"log\", \"config\"]\n"
            .to_owned(),
    );
    let daemon = settings.start();
    let problem = daemon
        .client
        .load_driver(&hostile_driver("hostile", ""))
        .expect_err("it imports mounts");
    assert_eq!(problem.status, 422, "{problem:?}");
    assert!(
        format!("{problem:?}").contains("mounts"),
        "the grant is not named: {problem:?}"
    );
    assert!(daemon.answers());
}

#[test]
fn a_composed_driver_has_diffs() {
    let bench = bench();
    let diff = bench.store.diff("victim", Against::Parent).expect("diff");
    assert!(mica_tests::listing::lines(&diff).contains("f f 644 0:0 \"alive\""));
    bench.store.create("copy", None).expect("create");
    bench.store.apply("copy", &diff).expect("apply");
    assert_eq!(seen(&bench.store, "copy").lines().count(), 3);
}
