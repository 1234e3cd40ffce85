//! What containerd was answered is true after a kill, and what was lost or hangs costs no one else anything.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use mica_tests::build::hostile_driver;
use mica_tests::containerd::{Bench, Labels, Snapshotter, wire};
use mica_tests::lab::{FileSystem, Lab};
use serde_json::json;
use tonic::Code;

fn none() -> Labels {
    Labels::new()
}

/// Commits an empty snapshot.
fn commit(client: &mut Snapshotter, name: &str, parent: &str) {
    client.prepare("x", parent, &none()).expect("prepare");
    client.commit(name, "x", parent, &none()).expect("commit");
}

/// What the clients know when the daemon dies.
#[derive(Debug, Default)]
struct Ledger {
    answered: u64,
    there: BTreeSet<String>,
    gone: BTreeSet<String>,
}

fn work_until_it_dies(mut client: Snapshotter, worker: usize, ledger: &Mutex<Ledger>) {
    let note = |change: &dyn Fn(&mut Ledger) -> bool| {
        change(&mut ledger.lock().expect("a ledger"));
    };
    for number in 0.. {
        let (key, name) = (
            format!("{worker}/key/{number}"),
            format!("{worker}/name/{number}"),
        );
        if client.prepare(&key, "base", &none()).is_err() {
            return;
        }
        note(&|ledger| {
            ledger.answered += 1;
            ledger.there.insert(key.clone())
        });
        if number % 3 == 0 {
            continue;
        }
        // From here to the answer no one can say which of the two there is.
        note(&|ledger| ledger.there.remove(&key));
        if client.commit(&name, &key, "base", &none()).is_err() {
            return;
        }
        note(&|ledger| ledger.there.insert(name.clone()));
        if number % 3 == 1 {
            note(&|ledger| ledger.there.remove(&name));
            if client.remove(&name).is_err() {
                return;
            }
            note(&|ledger| ledger.gone.insert(name.clone()));
        }
    }
}

/// Kills the daemon after so many answers, in the middle of whatever it does then.
fn work_and_kill(bench: &Bench, enough: u64) -> Ledger {
    let ledger = Mutex::new(Ledger::default());
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (client, ledger) = (bench.client(), &ledger);
            scope.spawn(move || work_until_it_dies(client, worker, ledger));
        }
        while ledger.lock().expect("a ledger").answered < enough {
            std::thread::sleep(Duration::from_millis(1));
        }
        let pid = bench.daemon.pid().to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.expect("start kill").success());
    });
    ledger.into_inner().expect("a ledger")
}

#[test]
fn a_kill_at_any_moment_leaves_what_was_answered_and_nothing_half() {
    let mut bench = Bench::start(FileSystem::Ext4, "overlay");
    commit(&mut bench.client(), "base", "");
    for round in 0..6 {
        let ledger = work_and_kill(&bench, 4 + 7 * round);
        bench = bench.restart(|daemon| daemon.wait());
        let mut client = bench.client();
        let pages = client.list(&["name!=base".into()]).expect("list").concat();
        let keys: BTreeSet<_> = pages.iter().map(|info| info.name.clone()).collect();
        let lost: Vec<_> = ledger.there.difference(&keys).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} are lost");
        let back: Vec<_> = ledger.gone.intersection(&keys).collect();
        assert!(back.is_empty(), "round {round}: {back:?} are back");
        bench.settle();
        for info in &pages {
            if info.kind() == wire::Kind::Active {
                client.mounts(&info.name).expect("mounts");
            }
            client.usage(&info.name).expect("usage");
            client.remove(&info.name).expect("remove");
        }
        client.clean_up().expect("clean up");
        assert_eq!(bench.settle(), 1);
    }
    let status = bench.daemon.client.get("/v1/status").expect("status");
    assert_eq!(status["problems"], json!([]));
}

#[test]
fn a_layer_and_a_row_that_lost_each_other_are_put_right() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    for (name, parent) in [("c0", ""), ("c1", "c0")] {
        commit(&mut client, name, parent);
    }
    client.prepare("a0", "", &none()).expect("prepare");
    client.prepare("a1", "c1", &none()).expect("prepare");
    client.view("v1", "c1").expect("view");
    let layer_of = |key: &str| {
        let told = bench
            .daemon
            .client
            .get(&format!("/v1/stores/containerd/snapshots/{key}"));
        let told = told.expect("a snapshot");
        let layer = format!(
            "/v1/stores/containerd/layers/{}",
            told["layer"].as_str().expect("a layer")
        );
        let number = bench.daemon.client.get(&layer).expect("a layer")["number"].as_u64();
        bench
            .home("layers")
            .join(number.expect("a number").to_string())
    };
    let (leaf, middle) = (layer_of("a0"), layer_of("c0"));
    let bench = bench.restart(|daemon| {
        daemon.stop();
        fs::remove_dir_all(leaf).expect("lose a layer");
        fs::remove_dir_all(middle).expect("lose a layer");
    });
    let mut client = bench.client();
    let lines = client.lines().join("\n");
    assert!(!lines.contains("\"a0\""), "{lines}");
    assert!(
        lines.contains("\"c0\"") && lines.contains("\"a1\""),
        "{lines}"
    );
    let problems = bench.daemon.client.get("/v1/status").expect("status")["problems"].to_string();
    assert!(
        problems.contains("the layer of snapshot `a0` is lost") && problems.contains("`c0`"),
        "{problems}"
    );
    assert_eq!(
        client.mounts("a1").expect_err("its chain is broken").0,
        Code::Internal
    );
    // containerd can still remove all of it.
    for key in ["v1", "a1", "c1", "c0"] {
        client
            .remove(key)
            .unwrap_or_else(|error| panic!("{key}: {error:?}"));
    }
    client.clean_up().expect("clean up");
    bench.assert_empty();
}

#[test]
fn a_damaged_database_is_reported_and_kept_as_it_was_found() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    commit(&mut bench.client(), "c0", "");
    let (database, layers) = (bench.home("rows.sqlite"), bench.layers());
    let damaged = vec![7; 50_000];
    let bench = bench.restart(|daemon| {
        daemon.stop();
        fs::write(&database, &damaged).expect("damage");
    });
    let kept = bench.home("rows.sqlite.damaged-1");
    assert_eq!(fs::read(kept).expect("read"), damaged);
    let status = bench.daemon.client.get("/v1/status").expect("status");
    let problems = status["problems"].to_string();
    assert!(problems.contains("rows.sqlite.damaged-1"), "{problems}");
    assert_eq!(bench.layers(), layers);
    bench.client().stat("c0").expect("it is still there");
}

#[test]
fn a_driver_that_hangs_costs_its_own_store_a_deadline_and_no_one_else_anything() {
    let lab = Lab::on(FileSystem::Ext4);
    let drivers = lab.path("drivers");
    fs::create_dir(&drivers).expect("make");
    fs::write(
        drivers.join("stuck.wasm"),
        hostile_driver("stuck", "hang-create"),
    )
    .expect("write");
    let mut settings = Bench::settings(&lab, "overlay");
    settings.configuration =
        Some("[containerd]\ndriver = \"stuck\"\nwork_seconds = 1\ncall_seconds = 5\n".into());
    settings.arguments.extend([
        "--drivers-dir".into(),
        drivers.to_str().expect("text").into(),
    ]);
    let daemon = settings.start();
    let mut client = Snapshotter::new(&lab.path("run/containerd.sock"));
    let (code, message) = client.prepare("k", "", &none()).expect_err("it hangs");
    assert_eq!(
        (code, message.contains("`containerd`")),
        (Code::DeadlineExceeded, true),
        "{message}"
    );
    // The driver may still hang; nothing waits for it.
    assert_eq!(client.lines(), Vec::<String>::new());
    assert_eq!(
        client.stat("k").expect_err("it is not there").0,
        Code::NotFound
    );
    daemon
        .client
        .default_store()
        .create("fine", None)
        .expect("another store works");
    assert!(daemon.answers());
}
