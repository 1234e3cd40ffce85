//! `apply(diff(x)) = x`, and all else that a history must keep, for histories made by chance.
//!
//! `PROPTEST_CASES` sets the number of histories for each driver; a failure prints the scripts, which go into
//! `host/cases/data/histories.toml` once the fault is found.

use std::sync::atomic::{AtomicU32, Ordering};

use mica_tests::generate;
use mica_tests::history::play;
use mica_tests::setup::{self, Setup};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Histories for each driver, unless the environment wants others.
const CASES: u32 = 16;

macro_rules! properties {
    ($($name:ident: $setup:expr;)*) => { $(
        #[test]
        fn $name() { histories(&$setup); }
    )* };
}

properties! {
    overlay_on_ext4_keeps_every_history: setup::OVERLAY_EXT4;
    overlay_on_xfs_keeps_every_history: setup::OVERLAY_XFS;
    erofs_on_ext4_keeps_every_history: setup::EROFS_EXT4;
    erofs_on_btrfs_keeps_every_history: setup::EROFS_BTRFS;
    vfs_on_ext4_keeps_every_history: setup::VFS_EXT4;
    vfs_on_xfs_keeps_every_history: setup::VFS_XFS;
    vfs_on_btrfs_keeps_every_history: setup::VFS_BTRFS;
    btrfs_keeps_every_history: setup::BTRFS;
    hello_on_ext4_keeps_every_history: setup::HELLO_EXT4;
}

fn histories(setup: &Setup) {
    let bench = setup.start();
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(CASES);
    let seed = seed();
    println!(
        "MICA_SEED={}",
        u64::from_le_bytes(seed[..8].try_into().expect("eight bytes"))
    );
    // A failed history leaves layers behind, and shrinking it costs a daemon's time: a few tries are enough.
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let number = AtomicU32::new(0);
    let result = runner.run(&generate::scripts(), |scripts| {
        let name = format!("h{}", number.fetch_add(1, Ordering::Relaxed));
        let history = generate::history(&name, &scripts, &bench.lab.scratch("generated"));
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            play(&bench, setup, &history)
        }));
        played.map_err(|cause| {
            let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            std::fs::remove_dir_all(bench.lab.scratch(&format!("{name}-model"))).ok();
            for id in bench.store.ids() {
                bench.store.unmount(&id).ok();
            }
            while bench
                .store
                .ids()
                .iter()
                .any(|id| bench.store.remove(id).is_ok())
            {}
            TestCaseError::fail(format!("{text}\nsteps:\n{}", history.steps.join("\n--\n")))
        })
    });
    if let Err(error) = result {
        panic!("{}: {error}", setup.driver);
    }
}

/// `MICA_SEED`, or the time.
fn seed() -> [u8; 32] {
    let given = std::env::var("MICA_SEED")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok());
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.subsec_nanos())
    };
    let seed = given.unwrap_or_else(|| u64::from(now()));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}
