//! What must be true after anything, however it ended.
//!
//! Invariant: looks at the disk and at the kernel's table of mounts itself; asks the daemon only whether it answers.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::dump::dump;
use crate::setup::Bench;

/// How long the daemon may take to empty its trash.
const SWEEP: Duration = Duration::from_secs(10);

/// How long whatever lies between two checks may take: far above any of it, because the machine may be busy.
const ATTACK: Duration = Duration::from_secs(240);
/// What the daemon may ever have in memory: the memory of four guests at their limit, and itself.
const PEAK_KIB: u64 = 640 << 10;
/// Descriptors that a daemon may open for good while it is watched: a store, a driver, a thread's own.
const MORE_DESCRIPTORS: usize = 16;

/// How everything was when the watch began.
#[derive(Debug)]
pub struct Watch<'a> {
    bench: &'a Bench,
    canary: String,
    mounts: String,
    ids: Vec<String>,
    descriptors: usize,
    checked: Cell<Instant>,
}

impl<'a> Watch<'a> {
    /// Notes how everything is.
    pub fn begin(bench: &'a Bench) -> Self {
        let ids = bench.store.ids();
        Self {
            bench,
            canary: dump(&bench.lab.canary()),
            mounts: bench.lab.mount_table(),
            ids,
            descriptors: bench.daemon.descriptors(),
            checked: Cell::new(Instant::now()),
        }
    }

    /// The tree beside the root is as it was, no mount came or went, staging and trash are empty, the layers are the
    /// same, the daemon answers and nothing panicked; it took neither long nor much memory, and no descriptor stayed.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.bench.store.ids(), self.ids, "layers came or went");
        self.check_disk();
    }

    /// The same, but for the layers.
    #[track_caller]
    pub fn check_disk(&self) {
        let Bench { daemon, lab, store } = self.bench;
        assert!(
            daemon.answers(),
            "the daemon does not answer: {}",
            daemon.log()
        );
        assert_eq!(dump(&lab.canary()), self.canary, "the canary changed");
        assert_eq!(lab.mount_table(), self.mounts, "mounts came or went");
        swept(&lab.home(&store.name));
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
        self.check_costs();
    }

    #[track_caller]
    fn check_costs(&self) {
        let daemon = &self.bench.daemon;
        let passed = self.checked.replace(Instant::now()).elapsed();
        assert!(passed < ATTACK, "it took {passed:?}");
        let peak = daemon.peak_kib();
        assert!(peak < PEAK_KIB, "{peak} KiB were in memory");
        let most = self.descriptors + MORE_DESCRIPTORS;
        let deadline = Instant::now() + SWEEP;
        while daemon.descriptors() > most {
            assert!(
                Instant::now() < deadline,
                "{} descriptors are open, {} were",
                daemon.descriptors(),
                self.descriptors
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits until staging and trash of a home are empty.
#[track_caller]
pub fn swept(home: &Path) {
    let deadline = Instant::now() + SWEEP;
    loop {
        let left: Vec<_> = ["staging", "trash"]
            .iter()
            .flat_map(|name| names(&home.join(name)))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "left behind in {}: {left:?}",
            home.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The number of layer directories of a home.
pub fn layer_directories(home: &Path) -> usize {
    names(&home.join("layers")).len()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// Waits until something holds, for much longer than it should take.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
