//! The daemon dies at any moment: what was acknowledged is there afterwards, and nothing is there by half.

use std::time::{Duration, Instant};

use mica_tests::daemon::Daemon;
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::history::seen;
use mica_tests::ledger::{self, Ledger, Looks, content};
use mica_tests::script::noise;
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::watch::{layer_directories, swept};
use serde_json::Value;

/// Checks after a restart that the ledger holds, and removes what it has.
fn check(bench: &Bench, ledger: &Ledger, looks: &Looks) {
    swept(&bench.lab.home(&bench.store.name));
    ledger::check(&bench.store, &ledger.known(), looks);
    for id in bench.store.ids() {
        if !ledger::FIRST.contains(&id.as_str()) {
            let removed = bench.store.remove(&id);
            removed.unwrap_or_else(|problem| panic!("{id}: {problem:?}"));
        }
    }
    assert_eq!(layer_directories(&bench.lab.home(&bench.store.name)), 3);
    swept(&bench.lab.home(&bench.store.name));
}

/// A store with its first layers, and how they look.
fn prepare(setup: &Setup, content: &[u8]) -> (Bench, Looks) {
    let bench = setup.start();
    let looks = ledger::prepare(&bench.store, content);
    (bench, looks)
}

fn killed_at_random(setup: &Setup) {
    let content = content();
    let (mut bench, looks) = prepare(setup, &content);
    let started = Instant::now();
    for round in 0_u32..12 {
        let ledger = Ledger::default();
        let pause = u64::from(noise(&round.to_le_bytes(), 1)[0]) * 2;
        let Bench { daemon, store, lab } = bench;
        let settings = daemon.settings.clone();
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (store, ledger, content) = (&store, &ledger, &content);
                scope.spawn(move || ledger::work(store, ledger, worker, 0.., content));
            }
            std::thread::sleep(Duration::from_millis(pause));
            daemon.kill();
        });
        bench = Bench {
            daemon: settings.start(),
            store,
            lab,
        };
        check(&bench, &ledger, &looks);
        if started.elapsed() > Duration::from_secs(45) {
            println!("stopped after {} rounds: time is up", round + 1);
            break;
        }
    }
    bench.watch().check();
}

#[test]
fn overlay_killed_at_random_keeps_what_it_acknowledged() {
    killed_at_random(&setup::OVERLAY_EXT4);
}

#[test]
fn erofs_killed_at_random_keeps_what_it_acknowledged() {
    killed_at_random(&setup::EROFS_EXT4);
}

#[test]
fn vfs_killed_at_random_keeps_what_it_acknowledged() {
    killed_at_random(&setup::VFS_XFS);
}

#[test]
fn btrfs_killed_at_random_keeps_what_it_acknowledged() {
    killed_at_random(&setup::BTRFS);
}

/// The system calls at which an operation may be cut in two.
const CALLS: &[&str] = &[
    "renameat2,renameat,rename",
    "mkdirat,mkdir",
    "syncfs,fsync,fdatasync",
    "unlinkat,rmdir",
    "linkat",
    "pwrite64,write",
    "ioctl",
];

#[test]
fn erofs_killed_at_each_step_of_an_operation_leaves_all_or_nothing() {
    killed_at_each_step(&setup::EROFS_EXT4);
}

#[test]
fn overlay_killed_at_each_step_of_an_operation_leaves_all_or_nothing() {
    killed_at_each_step(&setup::OVERLAY_EXT4);
}

#[test]
fn btrfs_killed_at_each_step_of_an_operation_leaves_all_or_nothing() {
    killed_at_each_step(&setup::BTRFS);
}

fn killed_at_each_step(setup: &Setup) {
    if !strace_is_there() {
        return;
    }
    let content = content();
    let (mut bench, looks) = prepare(setup, &content);
    let started = Instant::now();
    'sweep: for when in 1..=6 {
        for calls in CALLS {
            let ledger = Ledger::default();
            let Bench { daemon, store, lab } = bench;
            let settings = daemon.settings.clone();
            let tracer = inject(&daemon, calls, "signal=SIGKILL", when);
            ledger::one_life(&store, &ledger, &content);
            daemon.kill();
            end(tracer);
            bench = Bench {
                daemon: settings.start(),
                store,
                lab,
            };
            check(&bench, &ledger, &looks);
            if started.elapsed() > Duration::from_secs(60) {
                println!("stopped at {calls}, {when}: time is up");
                break 'sweep;
            }
        }
    }
    bench.watch().check();
}

#[test]
fn an_error_at_each_step_is_told_and_undone_by_overlay() {
    an_error_at_each_step(&setup::OVERLAY_EXT4);
}

#[test]
fn an_error_at_each_step_is_told_and_undone_by_erofs() {
    an_error_at_each_step(&setup::EROFS_EXT4);
}

#[test]
fn an_error_at_each_step_is_told_and_undone_by_btrfs() {
    an_error_at_each_step(&setup::BTRFS);
}

fn an_error_at_each_step(setup: &Setup) {
    if !strace_is_there() {
        return;
    }
    let content = content();
    let (bench, looks) = prepare(setup, &content);
    let watch = bench.watch();
    let started = Instant::now();
    let faults = [
        ("mkdirat", "ENOSPC"),
        ("linkat", "EMLINK"),
        ("renameat2", "EIO"),
        ("syncfs", "EIO"),
        ("unlinkat", "EIO"),
    ];
    for (call, error) in faults {
        for when in 1..=3 {
            let tracer = inject(&bench.daemon, call, &format!("error={error}"), when);
            let created = bench.store.create("one", Some("base"));
            let applied = created
                .as_ref()
                .ok()
                .map(|_| bench.store.apply("one", &content));
            end(tracer);
            for problem in [created.err(), applied.and_then(Result::err)]
                .into_iter()
                .flatten()
            {
                assert!(
                    matches!(problem.status, 500 | 507),
                    "{call} {error} {when}: {problem:?}"
                );
            }
            if bench.store.ids().iter().any(|id| id == "one") {
                bench
                    .store
                    .apply("one", &content)
                    .unwrap_or_else(|problem| panic!("{call} {when}: again: {problem:?}"));
                assert_eq!(
                    seen(&bench.store, "one"),
                    looks.full,
                    "{call} {error} {when}"
                );
                bench.store.remove("one").expect("remove");
            }
        }
        if started.elapsed() > Duration::from_secs(30) {
            break;
        }
    }
    watch.check();
}

#[test]
fn an_index_that_is_lost_or_damaged_is_built_anew() {
    let content = content();
    let (mut bench, looks) = prepare(&setup::VFS_EXT4, &content);
    let index = bench.lab.home(&bench.store.name).join("rows.sqlite");
    let faults: [fn(&std::path::Path); 3] = [
        |index| std::fs::remove_file(index).expect("remove the index"),
        |index| std::fs::write(index, noise(b"junk", 8192)).expect("damage the index"),
        |index| {
            std::fs::File::options()
                .write(true)
                .open(index)
                .and_then(|file| file.set_len(100))
                .expect("cut the index")
        },
    ];
    for fault in faults {
        assert!(index.is_file(), "{} is not there", index.display());
        bench = bench.restart(|daemon| {
            assert!(daemon.stop().success());
            fault(&index);
        });
        assert_eq!(bench.store.ids(), ["base", "empty", "full"]);
        assert_eq!(seen(&bench.store, "full"), looks.full);
        bench.store.create("new", Some("full")).expect("create");
        bench
            .store
            .remove("full")
            .expect_err("it has a child")
            .is(409, "has-children", "new");
        bench.store.remove("new").expect("remove");
    }
}

#[test]
fn an_id_can_be_used_again_after_a_crash() {
    let mut bench = setup::OVERLAY_EXT4.start();
    for _ in 0..5 {
        bench.store.create("again", None).expect("create");
        bench.store.remove("again").expect("remove");
        bench = bench.restart(Daemon::kill);
        assert_eq!(bench.store.ids(), [""; 0]);
    }
    let status: Value = bench.daemon.client.get("/v1/status").expect("status");
    assert!(status.is_object());
}
