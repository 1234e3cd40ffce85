//! An apply that fails has changed nothing: not one attribute of one node, whatever the driver and the archive did.
//!
//! Trees are made by chance, and what is compared is the whole directory of the layer on the disk: modes, owners, times,
//! extended attributes, content, and which names belong to one node. `PROPTEST_CASES` and `MICA_SEED` as in
//! `properties.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mica_tests::archive::{archive, entries};
use mica_tests::build::hostile_driver;
use mica_tests::daemon::Settings;
use mica_tests::dump::dump;
use mica_tests::generate;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench, Setup};
use mica_tests::tree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};

/// Trees for each driver and file system, unless the environment wants others.
const CASES: u32 = 6;

/// One of each kind, with all that a node can have, and names of one node in two directories.
const FURNISHED: &str = "
    d a mode=2751 own=7:8
    d a/b mode=1777 x:user.kept=1
    f file mode=4751 own=1000:2000 data=content x:user.kept=1 x:trusted.kept=2
    f a/large fill=300000 mode=600
    h a/b/again to=file
    l link to=../outside own=5:6
    h a/link-again to=link
    p pipe mode=604
    s socket mode=640
    c null rdev=1:3 mode=666 own=3:4
    b disk rdev=8:300 mode=660
    h a/null-again to=null
    f alone data=alone mode=400
";

/// Ends that every driver must refuse, after entries that it takes.
const BROKEN_ENDS: [&str; 4] = [
    "f ../../../victim data=x\n",
    "h last to=nowhere-at-all\n",
    "f cut size=1000 data=too-short\n",
    "c zero rdev=0:0\n",
];

/// Entries that name what is there already.
const TAKEN: &str = "
    d a mode=777 own=4242:4343 mtime=9.5 x:user.new=1
    h a/c to=file
    f file data=replaced mode=4777
    f a/large data=short
    l link to=elsewhere
    f .wh.pipe
    d a/b mode=700
    f a/b/.wh..wh..opq
    h further to=alone
";

macro_rules! failures {
    ($($name:ident: $setup:expr;)*) => { $(
        #[test]
        fn $name() { shipped(&$setup); }
    )* };
}

failures! {
    overlay_on_ext4_fails_without_a_trace: setup::OVERLAY_EXT4;
    overlay_on_xfs_fails_without_a_trace: setup::OVERLAY_XFS;
    overlay_on_btrfs_fails_without_a_trace: setup::OVERLAY_BTRFS;
    erofs_on_ext4_fails_without_a_trace: setup::EROFS_EXT4;
    erofs_on_xfs_fails_without_a_trace: setup::EROFS_XFS;
    erofs_on_btrfs_fails_without_a_trace: setup::EROFS_BTRFS;
    vfs_on_ext4_fails_without_a_trace: setup::VFS_EXT4;
    vfs_on_xfs_fails_without_a_trace: setup::VFS_XFS;
    vfs_on_btrfs_fails_without_a_trace: setup::VFS_BTRFS;
    btrfs_fails_without_a_trace: setup::BTRFS;
}

/// An archive that begins well and ends badly.
fn broken(number: usize) -> Vec<u8> {
    let end = BROKEN_ENDS[number % BROKEN_ENDS.len()];
    let mut bytes = entries(TAKEN);
    bytes.extend(entries(end));
    if !end.starts_with("f cut") {
        bytes.extend([0; 1024]);
    }
    bytes
}

fn shipped(setup: &Setup) {
    let bench = setup.start();
    by_chance(|name, scripts| {
        let (below, id) = (format!("{name}-a"), format!("{name}-b"));
        bench.store.create(&below, None).expect("create");
        bench
            .store
            .apply(&below, &archive("f below data=1\n"))
            .expect("apply");
        bench.store.create(&id, Some(&below)).expect("create");
        fill(&bench, &bench.store.mount(&id).expect("mount"), scripts);
        bench.store.unmount(&id).expect("unmount");
        for number in 0..BROKEN_ENDS.len() {
            unchanged(&bench, &id, &broken(number))?;
        }
        bench
            .store
            .apply(&id, &archive("f fine data=1\n"))
            .expect("a good one");
        bench.store.remove(&id).expect("remove");
        bench.store.remove(&below).expect("remove");
        Ok(())
    });
}

#[test]
fn a_driver_that_does_its_worst_on_ext4_leaves_no_trace() {
    hostile(FileSystem::Ext4);
}

#[test]
fn a_driver_that_does_its_worst_on_xfs_leaves_no_trace() {
    hostile(FileSystem::Xfs);
}

#[test]
fn a_driver_that_does_its_worst_on_btrfs_leaves_no_trace() {
    hostile(FileSystem::Btrfs);
}

#[test]
fn a_driver_that_does_its_worst_in_memory_leaves_no_trace() {
    hostile(FileSystem::Tmpfs);
}

fn hostile(file_system: FileSystem) {
    let lab = Lab::on(file_system);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "vfs");
    // It is to break often here, and never to be put away.
    settings.configuration =
        Some("[limits]\nlayer_faults = 1000\nstore_faults = 1000\n".to_owned());
    let daemon = settings.start();
    let component = hostile_driver("hostile", "");
    daemon.client.load_driver(&component).expect("load");
    let store = daemon.client.create_store("hostile", "hostile", &json!({}));
    let store = store.expect("a store");
    let bench = Bench { daemon, store, lab };
    by_chance(|name, scripts| {
        for way in ["trap", "error", "archive"] {
            let id = format!("worst-{way}-{name}");
            bench.store.create(&id, None).expect("create");
            // Not through a mount: a driver may do what it likes to a layer that it shows to be changed.
            fill(&bench, &directory(&bench, &id).join("d/tree"), scripts);
            for number in 0..2 {
                unchanged(&bench, &id, &broken(number))?;
            }
            bench.store.remove(&id).expect("remove");
        }
        Ok(())
    });
}

/// Fills a tree with one of everything, and with what chance brings.
fn fill(bench: &Bench, top: &Path, scripts: &[String]) {
    let history = generate::history("scripts", scripts, &bench.lab.scratch("generated"));
    tree::build(top, FURNISHED);
    fs::create_dir(top.join("by-chance")).expect("make a directory");
    for step in &history.steps {
        tree::build(&top.join("by-chance"), step);
    }
}

/// The directory of a layer.
fn directory(bench: &Bench, id: &str) -> PathBuf {
    let layers = bench.lab.home(&bench.store.name).join("layers");
    let entries = fs::read_dir(&layers).expect("layers");
    let is_of = |path: &PathBuf| {
        let record = fs::read(path.join("record.json")).expect("a record");
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        record["id"] == id
    };
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths.find(is_of).expect("the layer's directory")
}

/// Applies an archive, which must fail, and compares the layer before and after.
fn unchanged(bench: &Bench, id: &str, archive: &[u8]) -> Result<(), TestCaseError> {
    let before = (directory(bench, id), dump(&directory(bench, id)));
    let problem = bench.store.apply(id, archive).expect_err("it is broken");
    let after = (directory(bench, id), dump(&directory(bench, id)));
    if before == after {
        return Ok(());
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(&before.1), lines(&after.1));
    let lost: Vec<_> = old.iter().filter(|line| !new.contains(line)).collect();
    let found: Vec<_> = new.iter().filter(|line| !old.contains(line)).collect();
    Err(TestCaseError::fail(format!(
        "{id}: {problem:?}\nlost: {lost:#?}\nfound: {found:#?}"
    )))
}

fn by_chance(test: impl Fn(&str, &[String]) -> Result<(), TestCaseError>) {
    let from = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let cases = from("PROPTEST_CASES").and_then(|cases| cases.try_into().ok());
    let seed = from("MICA_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("MICA_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let number = AtomicU32::new(0);
    let result = runner.run(&generate::scripts(), |scripts| {
        let name = number.fetch_add(1, Ordering::Relaxed).to_string();
        test(&name, &scripts)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
