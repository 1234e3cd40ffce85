//! Drivers come and go while layers are in use.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use mica_tests::archive::archive;
use mica_tests::build::{hello_driver, hostile_driver, hostile_full_driver};
use mica_tests::client::Against;
use mica_tests::history::seen;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench};
use mica_tests::tree;
use serde_json::Value;

/// How often the driver is swapped while others work.
const SWAPS: u32 = 20;

const ALL: [setup::Setup; 4] = [
    setup::OVERLAY_EXT4,
    setup::EROFS_EXT4,
    setup::VFS_XFS,
    setup::BTRFS,
];

#[test]
fn no_call_fails_while_the_driver_is_swapped() {
    for setup in ALL {
        let bench = setup.start();
        bench.store.create("base", None).expect("create");
        bench
            .store
            .apply("base", &archive("d d\nf d/f fill=20000"))
            .expect("apply");
        bench.store.create("held", Some("base")).expect("create");
        let path = bench.store.mount("held").expect("mount");
        let mount = bench.lab.mount_id(&path);
        let (over, lives) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (bench, over, lives) = (&bench, &over, &lives);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        life(bench, worker);
                        lives.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for number in 0..SWAPS {
                let report = bench.daemon.client.swap_driver(setup.driver, None);
                let report = report.unwrap_or_else(|problem| panic!("swap {number}: {problem:?}"));
                assert_eq!(report["driver"], setup.driver, "{report}");
                std::fs::write(path.join("written"), number.to_string()).expect("the mount works");
                assert_eq!(
                    bench.lab.mount_id(&path),
                    mount,
                    "swap {number} moved a mount"
                );
            }
            over.store(true, Ordering::Relaxed);
        });
        println!(
            "{}: {} lives during {SWAPS} swaps",
            setup.driver,
            lives.load(Ordering::Relaxed)
        );
        assert!(lives.load(Ordering::Relaxed) > 0);
        let driver = bench
            .daemon
            .client
            .get(&format!("/v1/drivers/{}", setup.driver))
            .expect("a driver");
        assert_eq!(driver["generation"], SWAPS + 1, "{driver}");
        bench.store.unmount("held").expect("unmount");
        assert_eq!(
            bench
                .store
                .changes("held", Against::Parent)
                .expect("changes"),
            "A /written\n"
        );
        bench.store.remove("held").expect("remove");
        bench.store.remove("base").expect("remove");
        bench.watch().check();
    }
}

/// One layer from its beginning to its end.
fn life(bench: &Bench, worker: u32) {
    let (store, id) = (&bench.store, format!("w{worker}"));
    store.create(&id, Some("base")).expect("create");
    let path = store.mount(&id).expect("mount");
    std::fs::write(path.join("f"), "x").expect("write");
    store.unmount(&id).expect("unmount");
    let diff = store.diff(&id, Against::Parent).expect("diff");
    store.remove(&id).expect("remove");
    store.create(&id, Some("base")).expect("create again");
    store.apply(&id, &diff).expect("apply");
    store.remove(&id).expect("remove again");
}

fn generation(bench: &Bench, driver: &str) -> Value {
    bench
        .daemon
        .client
        .get(&format!("/v1/drivers/{driver}"))
        .expect("a driver")
}

#[test]
fn a_bad_build_is_refused_and_the_old_one_goes_on() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::VFS_EXT4.settings(&lab);
    // The build that replaces it asks for more than the one that runs.
    settings.configuration = Some(
        "[drivers.vfs]\ngrants = [\"directory\", \"streams\", \"mounts\", \"home\", \"filesystem\", \"log\", \"config\"]\n"
            .to_owned(),
    );
    let daemon = settings.start();
    let bench = Bench {
        store: daemon.client.default_store(),
        daemon,
        lab,
    };
    bench.store.create("base", None).expect("create");
    bench.store.create("held", Some("base")).expect("create");
    let path = bench.store.mount("held").expect("mount");
    let before = generation(&bench, "vfs");
    let full = |fault| hostile_full_driver("vfs", fault);
    let builds: [(&str, Vec<u8>, &str); 7] = [
        ("junk", b"this is no component".to_vec(), ""),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), ""),
        ("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), ""),
        (
            "another driver's name",
            hostile_driver("another", ""),
            "another",
        ),
        ("another world", hostile_driver("vfs", ""), "world `proto`"),
        ("a trap in init", full("init"), "vfs"),
        ("a trap in create", full("create"), "vfs"),
    ];
    for (what, build, names) in builds {
        let watch = bench.watch();
        let swapped = bench.daemon.client.swap_driver("vfs", Some(&build));
        let problem = swapped.expect_err(what);
        assert!(
            problem.status == 422 || problem.status == 409,
            "{what}: {problem:?}"
        );
        assert!(problem.detail.contains(names), "{what}: {problem:?}");
        assert_eq!(
            generation(&bench, "vfs")["digest"],
            before["digest"],
            "{what}"
        );
        assert_eq!(
            generation(&bench, "vfs")["generation"],
            before["generation"],
            "{what}"
        );
        std::fs::write(path.join("f"), what).expect("the mount works");
        life_on(&bench, what);
        watch.check();
    }
    bench.store.unmount("held").expect("unmount");
}

fn life_on(bench: &Bench, what: &str) {
    bench
        .store
        .create("probe", Some("base"))
        .unwrap_or_else(|problem| panic!("after {what}: {problem:?}"));
    bench.store.remove("probe").expect("remove");
}

#[test]
fn a_driver_loaded_at_run_time_is_there_after_a_restart() {
    let bench = setup::HELLO_EXT4.start();
    bench.store.create("l", None).expect("create");
    tree::build(&bench.store.mount("l").expect("mount"), "f f data=1");
    bench.store.unmount("l").expect("unmount");
    let tree = seen(&bench.store, "l");
    let problem = bench
        .daemon
        .client
        .load_driver(&hello_driver())
        .expect_err("the name is taken");
    problem.is(409, "driver-exists", "hello");
    assert!(
        problem
            .remedy
            .as_ref()
            .is_some_and(|remedy| remedy.contains("swap")),
        "{problem:?}"
    );
    let view = generation(&bench, "hello");
    assert_eq!(view["composed"], true, "{view}");
    let bench = bench.restart(|daemon| assert!(daemon.stop().success()));
    assert_eq!(generation(&bench, "hello")["digest"], view["digest"]);
    assert_eq!(seen(&bench.store, "l"), tree);
    bench
        .daemon
        .client
        .swap_driver("hello", Some(&hello_driver()))
        .expect("swap for the same");
    assert_eq!(seen(&bench.store, "l"), tree);
    bench.store.remove("l").expect("remove");
}

#[test]
fn events_tell_what_happens() {
    use std::io::{BufRead as _, BufReader};
    let bench = setup::VFS_EXT4.start();
    let stream = mica_tests::http::begin(
        &bench.daemon.client.socket,
        "GET",
        "/v1/events",
        &[],
        mica_tests::http::Body::Empty,
    );
    let mut reader = BufReader::new(stream.expect("connect"));
    let head = mica_tests::http::read_head(&mut reader).expect("an answer");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    bench.store.create("l", None).expect("create");
    bench.store.mount("l").expect("mount");
    bench.store.unmount("l").expect("unmount");
    bench.store.remove("l").expect("remove");
    bench.daemon.client.swap_driver("vfs", None).expect("swap");
    let mut kinds = Vec::new();
    let mut line = String::new();
    while kinds.len() < 5 {
        line.clear();
        assert!(
            reader.read_line(&mut line).expect("an event") > 0,
            "the stream ended after {kinds:?}"
        );
        if let Some(data) = line.strip_prefix("data:") {
            let event: Value = serde_json::from_str(data.trim()).expect("JSON");
            kinds.push(event["kind"].as_str().expect("a kind").to_owned());
        }
    }
    assert_eq!(
        kinds,
        [
            "layer.created",
            "layer.mounted",
            "layer.unmounted",
            "layer.removed",
            "driver.swapped"
        ]
    );
}
