//! A hostile driver under containerd's socket: containerd mounts by path, so whatever the driver answers, and whatever
//! processes in its layers do meanwhile, no path leads out of the layers that the snapshot consists of.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mica_tests::build::hostile_driver;
use mica_tests::containerd::{Answer, Bench, Labels, Mount, Snapshotter};
use mica_tests::dump::dump;
use mica_tests::lab::{FileSystem, Lab, run};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::mount::{UnmountFlags, mount_bind_recursive, unmount};
use serde::Deserialize;
use tonic::Code;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    crime: String,
    what: String,
    calls: Vec<String>,
    says: String,
    fault: bool,
}

fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }
    let cases: Cases = toml::from_str(include_str!("../cases/hostile_views.toml")).expect("cases");
    cases.case
}

fn none() -> Labels {
    Labels::new()
}

/// Asks for mapped owners.
fn mapped() -> Labels {
    let map = |kind: &str| {
        let name = format!("containerd.io/snapshot/{kind}mapping");
        (name, "0:100000:65536".to_owned())
    };
    Labels::from([map("uid"), map("gid")])
}

/// A daemon whose containerd gets its layers from the hostile driver, and the layer that orders crimes.
struct Stage {
    bench: Bench,
    client: Snapshotter,
    order: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::on(FileSystem::Ext4);
        let drivers = lab.scratch("drivers");
        fs::write(drivers.join("hostile.wasm"), hostile_driver("hostile", "")).expect("write");
        let mut settings = Bench::settings(&lab, "hostile");
        let drivers = drivers.to_str().expect("a path that is text").to_owned();
        settings
            .arguments
            .extend(["--drivers-dir".to_owned(), drivers]);
        let bench = Bench {
            daemon: settings.start(),
            socket: lab.path("run/containerd.sock"),
            lab,
        };
        let mut client = bench.client();
        let order = source(&client.prepare("order", "", &none()).expect("prepare"));
        let order = order.join("crime");
        let stage = Self {
            bench,
            client,
            order,
        };
        stage.order("none");
        stage
    }

    /// Orders a crime; `none` for a driver that behaves.
    fn order(&self, crime: &str) {
        fs::write(&self.order, crime).expect("order");
    }

    fn committed(&mut self, name: &str, parent: &str) -> PathBuf {
        let mounts = self.client.prepare("x", parent, &none()).expect("prepare");
        self.client.commit(name, "x", "", &none()).expect("commit");
        PathBuf::from(&mounts[0].source)
    }

    fn restart(self) -> Self {
        let Self {
            bench,
            client,
            order,
        } = self;
        drop(client);
        let bench = bench.restart(|daemon| daemon.kill());
        let client = bench.client();
        Self {
            bench,
            client,
            order,
        }
    }

    fn faults(&self) -> u64 {
        let driver = self.bench.daemon.client.get("/v1/drivers/hostile");
        driver.expect("the driver")["faults"]
            .as_u64()
            .expect("a number")
    }

    /// A driver that broke three times is not called any more, until it is released.
    fn forgive(&self) {
        let client = &self.bench.daemon.client;
        let released = client.json(
            "POST",
            "/v1/drivers/hostile/release",
            &serde_json::Value::Null,
        );
        released.expect("release");
    }

    fn call(&mut self, call: &str, crime: &str, labels: &Labels) -> Answer<Vec<Mount>> {
        match call {
            "prepare" => self.client.prepare("victim", "base", labels),
            "view" => self.client.view("victim", "base"),
            "empty" => self.client.view("victim", ""),
            "mounts" => self.client.mounts(&format!("kept/{crime}")),
            other => panic!("`{other}` is no call"),
        }
    }

    /// Everything that a call which is refused must leave as it was.
    fn state(&mut self) -> (Vec<String>, usize, String, String, usize) {
        let layers = self.bench.settle();
        (
            self.client.lines(),
            layers,
            dump(&self.bench.lab.canary()),
            self.bench.lab.mount_table(),
            descriptors(&self.bench),
        )
    }

    /// Makes a call in which the driver does what is ordered, and checks that nothing came of it.
    fn commit_crime(&mut self, case: &Case, call: &str, labels: &Labels) {
        let Case { crime, what, .. } = case;
        let about = format!("{call} {crime}: {what}");
        self.forgive();
        let (before, faults) = (self.state(), self.faults());
        self.order(crime);
        let answer = self.call(call, crime, labels);
        self.order("none");
        let (code, text) = answer.expect_err(&about);
        assert!(text.contains(&case.says), "{about}: {text}");
        // The host names the layer by the id that it has in `mica layer ls`.
        assert!(
            text.contains("snapshot-"),
            "{about}: no layer is named: {text}"
        );
        if case.fault {
            assert!(
                text.contains("`hostile`"),
                "{about}: no driver is named: {text}"
            );
            assert_eq!(code, Code::Internal, "{about}: {text}");
        }
        assert_eq!(self.faults() - faults, u64::from(case.fault), "{about}");
        assert_eq!(self.state(), before, "{about}");
        let next = match call {
            "mounts" => self.call(call, crime, labels),
            _ => self.client.prepare("next", "base", labels),
        };
        let mounts = next.expect("the next call works");
        assert!(Path::new(&mounts[0].source).is_dir(), "{about}");
        if call != "mounts" {
            self.client.remove("next").expect("remove");
        }
    }
}

/// Descriptors of the daemon, once they are as few as they get.
fn descriptors(bench: &Bench) -> usize {
    let directory = format!("/proc/{}/fd", bench.daemon.pid());
    let count = || fs::read_dir(&directory).expect("descriptors").count();
    let mut fewest = count();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        fewest = fewest.min(count());
    }
    fewest
}

fn source(mounts: &[Mount]) -> PathBuf {
    let [mount] = mounts else {
        panic!("not one mount: {mounts:?}")
    };
    assert_eq!(mount.r#type, "bind");
    PathBuf::from(&mount.source)
}

/// Mounts an overlay by the text that was given out.
fn mount(mounts: &[Mount], at: &Path) {
    let [
        Mount {
            r#type,
            source,
            options,
            ..
        },
    ] = mounts
    else {
        panic!("not one mount: {mounts:?}")
    };
    let at = at.to_str().expect("a path that is text");
    run(&["mount", "-t", r#type, "-o", &options.join(","), source, at]);
}

#[test]
fn no_answer_of_a_driver_that_breaks_a_rule_becomes_a_mount() {
    let mut stage = Stage::new();
    stage.committed("base", "");
    let cases = cases();
    for case in &cases {
        for call in case.calls.iter().filter(|call| *call != "mounts") {
            stage.commit_crime(case, call, &none());
            if call == "prepare" {
                stage.commit_crime(case, call, &mapped());
            }
        }
    }
    // A first call of `Mounts` after a restart asks the driver again.
    let again: Vec<_> = cases
        .iter()
        .filter(|case| case.calls.iter().any(|call| call == "mounts"))
        .collect();
    for case in &again {
        let key = format!("kept/{}", case.crime);
        let labels = if case.fault { mapped() } else { none() };
        stage
            .client
            .prepare(&key, "base", &labels)
            .expect("prepare");
    }
    stage = stage.restart();
    for case in again {
        stage.commit_crime(case, "mounts", &none());
    }
}

/// ATTACKS 79: a transaction is rolled back wherever in it the instance ends.
#[test]
fn an_instance_that_ends_anywhere_leaves_nothing() {
    let mut stage = Stage::new();
    stage.committed("base", "");
    let mut steps = 0;
    loop {
        steps += 1;
        stage.forgive();
        let (before, faults) = (stage.state(), stage.faults());
        stage.order(&format!("trap-at-{steps}"));
        let answer = stage.client.prepare("victim", "base", &none());
        stage.order("none");
        if answer.is_ok() {
            break;
        }
        assert_eq!(stage.state(), before, "step {steps}");
        assert_eq!(stage.faults() - faults, 1, "step {steps}");
    }
    // Six in `create`, three in `get`: the one behind the last is never reached.
    assert_eq!(steps, 10);
}

#[test]
fn handles_of_a_planned_view_cannot_change_what_its_paths_are_made_of() {
    let mut stage = Stage::new();
    stage.committed("base", "");
    stage.order("exchange");
    for round in 0..2 {
        let mounts = if round == 0 {
            stage.client.prepare("k", "base", &none())
        } else {
            stage.client.mounts("k")
        };
        let tree = source(&mounts.expect("what it did to the room was refused"));
        let kind = fs::symlink_metadata(&tree).expect("stat").file_type();
        assert!(kind.is_dir(), "{kind:?}");
        let room = tree.parent().expect("a room");
        assert!(!room.join("gone").exists());
        stage = stage.restart();
    }
}

/// A store with 60 layers one on the other, of a driver that stacks them; the name of the uppermost.
fn tower() -> (Stage, String) {
    let mut stage = Stage::new();
    stage.order("stack");
    let mut parent = String::new();
    for number in 0..60 {
        let name = format!("c{number}");
        stage.committed(&name, &parent);
        parent = name;
    }
    (stage, parent)
}

#[test]
fn short_names_lead_to_directories_that_keep_the_rules() {
    let (mut stage, parent) = tower();
    let links = stage.bench.home("l");
    let count = || fs::read_dir(&links).expect("list links").count();
    // The driver behaves: its overlay of 60 layers is mounted by its short names.
    let mounts = stage.client.prepare("honest", &parent, &none());
    let mounts = mounts.expect("prepare");
    assert_eq!(mounts[0].r#type, "overlay");
    assert_eq!(count(), 60);
    let at = stage.bench.lab.scratch("at");
    mount(&mounts, &at);
    fs::write(at.join("file"), "x").expect("write");
    unmount(&at, UnmountFlags::empty()).expect("unmount");
    for crime in ["deeper-lower", "room-lower", "stranger"] {
        stage.forgive();
        stage.order(&format!("overlay-{crime}"));
        let answer = stage.client.prepare("victim", &parent, &none());
        stage.order("stack");
        let (code, text) = answer.expect_err(crime);
        assert_eq!(code, Code::Internal, "{crime}: {text}");
        assert_eq!(count(), 60, "{crime}");
    }
}

/// Content before its parent: the view over the parent is asked at the commit.
#[test]
fn a_late_parent_is_given_only_to_views_that_keep_the_rules() {
    let (mut stage, parent) = tower();
    let chain = "containerd.io/snapshot/parent-chain-id".to_owned();
    let labels = Labels::from([(chain, "sha256:1".to_owned())]);
    stage.client.prepare("late", "", &labels).expect("prepare");
    for crime in ["stack-stranger", "stack-label", "room", "deeper"] {
        stage.forgive();
        let before = stage.state();
        stage.order(crime);
        let answer = stage.client.commit("done", "late", &parent, &none());
        stage.order("stack");
        answer.expect_err(crime);
        assert_eq!(stage.state(), before, "{crime}");
    }
    stage.forgive();
    let done = stage.client.commit("done", "late", &parent, &none());
    done.expect("commit");
    let mounts = stage.client.view("shown", "done").expect("view");
    let is_upper = |option: &String| option.starts_with("upperdir");
    assert!(!mounts[0].options.iter().any(is_upper), "{mounts:?}");
}

/// A process in a container: exchanges a directory for a link that leads out, and back, until it is dropped.
struct Racer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Racer {
    /// Exchanges `b` and `out` in this directory.
    fn start(directory: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (one, other) = (directory.join("b"), directory.join("out"));
        let is_over = Arc::clone(&stop);
        let exchange = move || {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                let done = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
                done.expect("exchange");
                times += 1;
            }
            times
        };
        let thread = Some(std::thread::spawn(exchange));
        Self { stop, thread }
    }

    /// Ends it; how often it has exchanged.
    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or(0, |thread| thread.join().expect("the racer"))
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Mounts as containerd does, by the text that it was given; which directory is seen, and whether that is the canary.
fn look(mounts: &[Mount], at: &Path) -> (u64, bool) {
    mount_bind_recursive(source(mounts), at).expect("mount");
    let seen = fs::metadata(at).expect("stat").ino();
    let is_out = at.join("victim").exists();
    unmount(at, UnmountFlags::empty()).expect("unmount");
    (seen, is_out)
}

/// Views that are asked for while the driver behaves.
const HONEST: usize = 2000;
/// Views that are asked for while it answers what the process can exchange. Without the rule a third is given out, when the
/// name is a directory just then, and of these a half leads out.
const HOSTILE: usize = 60;

/// GHSA-c3xm-pvg7-gh7r (CVE-2021-30465) has the pattern: a path that was checked is exchanged before it is mounted.
#[test]
fn a_process_that_exchanges_directories_for_links_escapes_with_no_driver() {
    let mut stage = Stage::new();
    let tree = stage.committed("base", "");
    // The layer is committed, and the container that filled it still runs.
    let canary = stage.bench.lab.canary();
    std::os::unix::fs::symlink(&canary, tree.join("a/out")).expect("link");
    let top = fs::metadata(&tree).expect("stat").ino();
    let at = stage.bench.lab.scratch("at");
    let (before, table) = (dump(&canary), stage.bench.lab.mount_table());
    let mut racer = Racer::start(&tree.join("a"));
    for number in 0..HONEST {
        let key = format!("honest/{number}");
        let mounts = stage.client.view(&key, "base").expect("view");
        assert_eq!(look(&mounts, &at), (top, false), "{mounts:?}");
        stage.client.remove(&key).expect("remove");
    }
    stage.order("deeper");
    let (mut given, mut escapes) = (0, 0);
    for number in 0..HOSTILE {
        if number % 2 == 0 {
            stage.forgive();
        }
        let key = format!("hostile/{number}");
        if let Ok(mounts) = stage.client.view(&key, "base") {
            given += 1;
            escapes += usize::from(look(&mounts, &at).1);
            stage.client.remove(&key).expect("remove");
        }
    }
    let times = racer.end();
    println!("{times} exchanges: {given} given out, {escapes} led out");
    assert!(times > 0);
    assert_eq!((given, escapes), (0, 0));
    assert_eq!(dump(&canary), before);
    assert_eq!(stage.bench.lab.mount_table(), table);
    assert!(stage.bench.daemon.answers());
}
