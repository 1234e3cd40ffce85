//! Every file of every kind of store is damaged in turn: is it found, is it mended, and is everything else as it was?
//!
//! A round damages one file of each store at once, because stores are independent of each other, and so are their files below
//! one root. `MICA_DAMAGE=all` plays every round; without it, as many as fit into the time of a test, spread over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::build::{hello_driver, noted};
use mica_tests::client::Against;
use mica_tests::command::{Ended, mica_alone};
use mica_tests::containerd::{Bench, Labels, Snapshotter};
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::damage::{DAMAGES, Damage, files, state};
use mica_tests::lab::{FileSystem, Lab, run};
use mica_tests::watch::swept;
use serde_json::{Value, json};

/// Stores of layers, each with its driver.
const STORES: &[(&str, &str)] = &[
    ("default", "overlay"),
    ("copies", "vfs"),
    ("sealed", "erofs"),
    // Nothing of it is damaged.
    ("beside", "overlay"),
];
/// The store of snapshots.
const SNAPSHOTS: &str = "containerd";
/// What is not damaged.
const BESIDE: &str = "beside";
/// What stands for the files that are of no store.
const DRIVERS: &str = "drivers";
/// How long a test plays rounds unless it is to play all.
const TIME: Duration = Duration::from_secs(25);

/// Damage that a check need not find: the file, what it is, and why nothing is lost.
const HARMLESS: &[(&str, &str)] = &[
    (
        "reserve",
        "it holds blocks, and no content is ever read; a start makes it again",
    ),
    (
        "rows.sqlite",
        "bytes of a page that no row, table or index has",
    ),
    (
        "rows.sqlite-wal",
        "frames that were moved into the file before, or that a later frame replaced",
    ),
    (
        "rows.mark",
        "the mark of a store whose rows were never written is empty",
    ),
    ("rows.sqlite-shm", "it is SQLite's own, and made anew"),
    (
        "sealed/entries",
        "the driver's own count for reports; a damaged one counts as none",
    ),
    (
        "l/",
        "a short name that is gone is made again when it is needed",
    ),
    (
        "store.json",
        "a flipped bit in the word `sum`: the rest is what it was",
    ),
    (
        "store-copy.json",
        "a flipped bit in the word `sum`; or it is gone, as in stores of earlier builds",
    ),
    (
        "record.json",
        "a flipped bit in the word `sum`: the rest is what it was",
    ),
    (
        "record-2.json",
        "a flipped bit in the word `sum`; or it is gone: the row has what it said",
    ),
    (
        "history.json",
        "a flipped bit in the word `sum`: the rest is what it was",
    ),
    (
        "scrub.json",
        "a flipped bit in the word `sum`; or it is gone: what it said is found again",
    ),
    ("code-cache/", "compiled code that is gone is made again"),
];

/// What only a person can put right: the file, and the kind of finding.
const LEFT: &[(&str, &str)] = &[
    ("sealed/layer.tar", "archive-damaged"),
    ("sealed/layer.erofs", "index-damaged"),
    // A component that is gone leaves what ships.
    (".wasm", "build-missing"),
];

/// What layers and snapshots hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents {
    /// Differences by store and layer; the problem's code where there is none.
    layers: BTreeMap<(String, String), Result<Vec<u8>, String>>,
    snapshots: BTreeSet<String>,
    /// The mount of the active snapshot.
    active: String,
}

/// What is done to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    /// The store, or [`DRIVERS`].
    store: String,
    /// The path below the root.
    file: PathBuf,
    damage: Damage,
}

/// What became of the cases.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    found: usize,
    harmless: BTreeMap<&'static str, usize>,
    left: usize,
    kinds: BTreeMap<String, usize>,
}

/// A root with a store of each kind, and a copy of it.
struct Rig {
    lab: Lab,
    settings: Settings,
    /// What layers and snapshots hold while nothing is damaged.
    whole: Contents,
    tally: Tally,
}

fn fill(bench: &Bench) {
    let client = &bench.daemon.client;
    for (name, driver) in STORES {
        let store = match *name {
            "default" => client.default_store(),
            name => {
                let made = client.create_store(name, driver, &json!({}));
                made.expect("make a store")
            }
        };
        for (id, parent) in [("base", None), ("child", Some("base"))] {
            store.create(id, parent).expect("create");
            let script = format!("d dir-{id}\nf dir-{id}/file data={driver}-{id}\nf big fill=9000");
            store.apply(id, &archive(&script)).expect("apply");
        }
        store
            .create_read_write("box", Some("child"))
            .expect("create");
    }
    let mut snapshots = bench.client();
    for (name, parent) in [("c0", ""), ("c1", "c0")] {
        snapshots
            .prepare("x", parent, &Labels::new())
            .expect("prepare");
        let labels = Labels::from([("containerd.io/snapshot/of".to_owned(), name.to_owned())]);
        snapshots.commit(name, "x", "", &labels).expect("commit");
    }
    snapshots
        .prepare("active", "c1", &Labels::new())
        .expect("prepare");
    snapshots.view("view", "c1").expect("view");
    client.load_driver(&hello_driver()).expect("load");
    let another = noted(hello_driver(), "another build");
    client.swap_driver("hello", Some(&another)).expect("swap");
}

fn contents(daemon: &Daemon, snapshots: &mut Snapshotter) -> Contents {
    let mut layers = BTreeMap::new();
    for (name, _) in STORES {
        let store = daemon.client.store(name);
        for id in store.ids() {
            let diff = store.diff(&id, Against::Parent);
            let diff = diff.map_err(|problem| problem.code);
            layers.insert(((*name).to_owned(), id), diff);
        }
    }
    Contents {
        layers,
        active: format!("{:?}", snapshots.mounts("active")),
        snapshots: snapshots.lines().into_iter().collect(),
    }
}

/// What of a root is as it was before each round. The code too, because a start compiles only what a store uses.
const GOLDEN: [&str; 3] = ["stores", "drivers", "code-cache"];

/// How the daemon ends before its files are damaged.
type End = fn(Daemon);

impl Rig {
    fn new(end: End) -> Self {
        let lab = Lab::on(FileSystem::Ext4);
        let mut settings = Bench::settings(&lab, "overlay");
        // Another build is not watched while files are damaged.
        settings.configuration = Some("bake_seconds = 0\n".to_owned());
        let bench = Bench::of(lab, &settings);
        fill(&bench);
        let whole = contents(&bench.daemon, &mut bench.client());
        for name in STORES.iter().map(|(name, _)| *name).chain([SNAPSHOTS]) {
            swept(&bench.lab.home(name));
        }
        let Bench { daemon, lab, .. } = bench;
        end(daemon);
        for name in GOLDEN {
            copy(
                &lab.root().join(name),
                &lab.path(&format!("fs/golden-{name}")),
            );
        }
        Self {
            lab,
            settings,
            whole,
            tally: Tally::default(),
        }
    }

    fn restore(&self) {
        self.lab.detach_images();
        for name in GOLDEN {
            let to = self.lab.root().join(name);
            fs::remove_dir_all(&to).expect("remove");
            copy(&self.lab.path(&format!("fs/golden-{name}")), &to);
        }
        fs::remove_dir_all(self.lab.root().join("set-aside")).ok();
    }

    fn mica(&self, arguments: &[&str]) -> Ended {
        let (root, run) = (self.lab.root(), self.lab.path("run"));
        let [root, run] = [&root, &run].map(|path| path.to_str().expect("text"));
        let place = ["--root", root, "--run-dir", run, "--content"];
        mica_alone(&[&["--output", "json"], arguments, &place].concat())
    }

    /// What a command found, as JSON: one for each finding.
    fn findings(&self, arguments: &[&str], list: &str) -> Vec<Value> {
        let ended = self.mica(arguments);
        let document: Value = serde_json::from_slice(&ended.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", ended.text(), ended.stderr));
        let findings = document[list].as_array().expect("a list").clone();
        let is_left =
            |one: &&Value| one["outcome"] == "left" || one["outcome"]["failed"] != Value::Null;
        let is_clean = match list {
            "findings" => findings.is_empty(),
            _ => findings.iter().find(is_left).is_none(),
        };
        assert_eq!(ended.code == 0, is_clean, "{document:#}");
        assert!([0, 9].contains(&ended.code), "{document:#}");
        findings
    }

    /// The cases of each store: a round is one of each.
    fn cases(&self) -> Vec<Vec<Case>> {
        let root = self.lab.root();
        let mut places = vec![DRIVERS.to_owned(), SNAPSHOTS.to_owned()];
        let damaged = STORES.iter().filter(|(name, _)| *name != BESIDE);
        places.extend(damaged.map(|(name, _)| (*name).to_owned()));
        let of_place = |store: String| {
            let tops = match store.as_str() {
                DRIVERS => vec![root.join("drivers"), root.join("code-cache")],
                name => vec![self.lab.home(name)],
            };
            let mut files: Vec<PathBuf> = tops.iter().flat_map(|top| files(top)).collect();
            if store == DRIVERS {
                // One of many that are alike.
                let mut codes = 0;
                files.retain(|file| {
                    codes += usize::from(file.starts_with(root.join("code-cache")));
                    !file.starts_with(root.join("code-cache")) || codes == 1
                });
            }
            // Nothing in an empty file can be damaged.
            let is_empty = |file: &Path| {
                let found = fs::symlink_metadata(file).expect("a file");
                found.is_file() && found.len() == 0
            };
            let cases = DAMAGES.iter().flat_map(|damage| {
                let files = files.iter();
                let files = files.filter(|file| *damage == Damage::Gone || !is_empty(file));
                files.map(|file| Case {
                    store: store.clone(),
                    file: file.strip_prefix(&root).expect("below").to_owned(),
                    damage: *damage,
                })
            });
            cases.collect()
        };
        places.into_iter().map(of_place).collect()
    }

    /// Damages a file of each store, and looks at what becomes of it.
    fn play(&mut self, cases: &[Case]) {
        let root = self.lab.root();
        for case in cases {
            case.damage.harm(&root.join(&case.file));
        }
        let before = state(&root);
        let found = self.findings(&["check"], "findings");
        let planned = self.findings(&["repair", "--dry-run"], "repairs");
        assert!(
            before == state(&root),
            "{cases:?}: a look changes something"
        );
        let beside = state(&self.lab.home(BESIDE));
        let mended = self.findings(&["repair"], "repairs");
        assert_eq!(beside, state(&self.lab.home(BESIDE)), "{cases:?}");
        let kinds = |list: &[Value]| -> Vec<(String, String)> {
            let key = |one: &Value| (one["kind"].to_string(), one["path"].to_string());
            list.iter().map(key).collect()
        };
        assert_eq!(kinds(&found), kinds(&planned), "{cases:?}");
        assert_eq!(
            kinds(&planned),
            kinds(&mended)[..planned.len()],
            "{cases:?}: {mended:#?}"
        );
        for case in cases {
            self.judge(case, &found);
        }
        let again = self.findings(&["repair"], "repairs");
        for left in &again {
            assert_eq!(left["outcome"], "left", "{cases:?}: {left:#}");
            let path = left["path"].as_str().unwrap_or_default();
            let is_expected = LEFT
                .iter()
                .any(|(file, kind)| path.ends_with(file) && left["kind"] == *kind);
            assert!(is_expected, "{cases:?}: {left:#}");
        }
        self.tally.left += again.len();
        self.serve(cases, &again);
        self.tally.rounds += 1;
        self.restore();
    }

    /// Whether a case was found, or need not be.
    fn judge(&mut self, case: &Case, found: &[Value]) {
        let own = found.iter().filter(|finding| match case.store.as_str() {
            DRIVERS => finding["store"] == Value::Null,
            name => finding["store"] == name,
        });
        let kinds: Vec<String> = own
            .map(|finding| finding["kind"].as_str().expect("a kind").to_owned())
            .collect();
        if kinds.is_empty() {
            let file = case.file.display().to_string();
            let is_of = |name: &str| match name.ends_with('/') {
                true => file.contains(&format!("/{name}")) || file.starts_with(name),
                false => file.ends_with(name),
            };
            let harmless = HARMLESS.iter().find(|(name, _)| is_of(name));
            let (name, _) = harmless.unwrap_or_else(|| panic!("{case:?} is not found: {found:#?}"));
            *self.tally.harmless.entry(name).or_default() += 1;
        } else {
            self.tally.found += 1;
        }
        for kind in kinds {
            *self.tally.kinds.entry(kind).or_default() += 1;
        }
    }

    /// Starts the daemon: all layers are served as before, but those that only a person can bring back.
    fn serve(&self, cases: &[Case], left: &[Value]) {
        let daemon = self.settings.start();
        let mut snapshots = Snapshotter::new(&self.lab.path("run/containerd.sock"));
        let served = contents(&daemon, &mut snapshots);
        assert!(daemon.stop().success());
        let mut expected = self.whole.clone();
        let lost = |finding: &Value| {
            let text = |key: &str| finding[key].as_str().map(str::to_owned);
            Some((text("store")?, text("layer")?))
        };
        for key in left.iter().filter_map(lost) {
            let got = served.layers.get(&key).expect("it is listed");
            assert!(got.is_err(), "{cases:?}: `{key:?}` is damaged and served");
            // What is built on it needs it to be viewed: it is whole, or refused.
            for (other, layer) in &mut expected.layers {
                if let Some(Err(code)) = served.layers.get(other)
                    && other.0 == key.0
                {
                    *layer = Err(code.clone());
                }
            }
        }
        // A view of a committed snapshot has no layer, and so no record: only its row knows it (0023).
        let of_rows = |case: &Case| {
            case.store == SNAPSHOTS && case.file.display().to_string().contains("rows.sqlite")
        };
        if cases.iter().any(of_rows) {
            let is_view = |line: &String| line.starts_with("VIEW");
            let served_views = served.snapshots.iter().filter(|line| is_view(line)).count();
            if served_views == 0 {
                expected.snapshots.retain(|line| !is_view(line));
            }
        }
        assert_eq!(expected.snapshots, served.snapshots, "{cases:?}");
        assert_eq!(expected.active, served.active, "{cases:?}");
        for (key, layer) in &expected.layers {
            let same = served.layers.get(key) == Some(layer);
            assert!(same, "{cases:?}: {key:?} is served otherwise");
        }
        assert_eq!(expected.layers.len(), served.layers.len(), "{cases:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    let [from, to] = [from, to].map(|path| path.to_str().expect("text"));
    run(&["cp", "-a", "--one-file-system", from, to]);
}

fn damaged_in_turn(end: End) {
    let mut rig = Rig::new(end);
    assert!(rig.findings(&["check"], "findings").is_empty());
    assert!(rig.findings(&["repair"], "repairs").is_empty());
    let cases = rig.cases();
    let rounds = cases.iter().map(Vec::len).max().expect("cases");
    let plays_all = std::env::var_os("MICA_DAMAGE").is_some_and(|how| how == "all");
    let started = Instant::now();
    // A step that shares no factor with the number of rounds comes to each of them once, and first to some of every kind.
    let step = (rounds * 5 / 8..).find(|step| gcd(*step, rounds) == 1);
    let step = step.expect("a number");
    for round in 0..rounds {
        if !plays_all && started.elapsed() > TIME {
            break;
        }
        let at = round * step % rounds;
        let chosen: Vec<Case> = cases
            .iter()
            .filter_map(|of_store| of_store.get(at).cloned())
            .collect();
        rig.play(&chosen);
    }
    let total: usize = cases.iter().map(Vec::len).sum();
    println!("{rounds} rounds, {total} cases; played: {:#?}", rig.tally);
    assert!(rig.tally.found > 0 && rig.tally.rounds > 3);
}

fn gcd(one: usize, other: usize) -> usize {
    match other {
        0 => one,
        _ => gcd(other, one % other),
    }
}

#[test]
fn every_file_of_a_root_that_was_left_in_order_is_damaged_in_turn() {
    damaged_in_turn(|daemon| assert!(daemon.stop().success()));
}

#[test]
fn every_file_of_a_root_whose_daemon_was_killed_is_damaged_in_turn() {
    damaged_in_turn(Daemon::kill);
}
