//! What the driver btrfs is told of by the file system is what a walk finds.
//!
//! A second child of the same parent, which no one touches, is compared by a walk, for the layer was not made of it. So it
//! is the oracle: changes and archives against it and against the parent are the same.
//!
//! `PROPTEST_CASES` sets the number of histories; `MICA_SEED` repeats one.

use std::fs;
use std::path::Path;

use mica_tests::client::{Against, Store};
use mica_tests::generate;
use mica_tests::lab::run;
use mica_tests::listing;
use mica_tests::setup;
use mica_tests::tree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Histories, unless the environment wants others.
const CASES: u32 = 24;

/// Panics unless a layer differs from its parent as it does from the parent's twin.
#[track_caller]
fn same_as_walked(store: &Store, id: &str, twin: &str, what: &str) {
    let changes = store.changes(id, Against::Parent).expect("changes");
    let walked = store.changes(id, Against::Layer(twin)).expect("changes");
    assert_eq!(changes, walked, "the changes of `{id}` {what}");
    let diff = store.diff(id, Against::Parent).expect("diff");
    let walked = store.diff(id, Against::Layer(twin)).expect("diff");
    assert!(
        diff == walked,
        "the diff of `{id}` {what}:\n{}walked:\n{}",
        listing::lines(&diff),
        listing::lines(&walked)
    );
}

/// Changes a layer by a script, or by an archive.
fn changed(store: &Store, id: &str, script: &str) {
    let path = store.mount(id).expect("mount");
    tree::build(&path, script);
    store.unmount(id).expect("unmount");
}

fn follow(store: &Store, name: &str, steps: &[String]) {
    let mut parent: Option<String> = None;
    let mut made = Vec::new();
    for (number, script) in steps.iter().enumerate() {
        let [id, twin, applied] =
            ["layer", "twin", "applied"].map(|what| format!("{name}-{what}-{number}"));
        let below = parent.as_deref();
        store.create(&id, below).expect("create");
        if below.is_some() {
            store.create(&twin, below).expect("create");
            store.create(&applied, below).expect("create");
        }
        changed(store, &id, script);
        if below.is_some() {
            same_as_walked(store, &id, &twin, "after a mount");
            // A copy of a snapshot, and a copy of that, is in the place of the snapshot.
            let diff = store.diff(&id, Against::Parent).expect("diff");
            for time in ["once", "twice"] {
                store.apply(&applied, &diff).expect("apply");
                same_as_walked(store, &applied, &twin, time);
            }
            made.extend([twin, applied]);
        }
        made.push(id.clone());
        parent = Some(id);
    }
    for id in made.iter().rev() {
        store.remove(id).expect("remove");
    }
}

#[test]
fn what_was_touched_is_what_a_walk_finds() {
    let bench = setup::BTRFS.start();
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |time| time.subsec_nanos())
    };
    let seed = given("MICA_SEED").unwrap_or_else(|| u64::from(now()));
    println!("MICA_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: given("PROPTEST_CASES").map_or(CASES, |cases| u32::try_from(cases).expect("small")),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let number = std::cell::Cell::new(0);
    let result = runner.run(&generate::scripts(), |scripts| {
        number.set(number.get() + 1);
        let name = format!("h{}", number.get());
        let history = generate::history(&name, &scripts, &bench.lab.scratch("generated"));
        let steps = &history.steps;
        let followed = std::panic::AssertUnwindSafe(|| follow(&bench.store, &name, steps));
        std::panic::catch_unwind(followed).map_err(|cause| {
            let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(format!("{text}\nsteps:\n{}", steps.join("\n--\n")))
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// What a test by chance does not meet often.
const RARE: [(&str, &str); 12] = [
    ("a name of an old file", "h d/e/new to=a/many"),
    (
        "a further name of a file with many",
        "h new to=far/away/one\n- far/away/two",
    ),
    ("a moved directory with a linked file", "> far to=near"),
    (
        "two directories in each other's place",
        "> d/e to=x\n> far/away to=d/e\n> x to=far/away",
    ),
    (
        "a directory in the place of a file",
        "f a/many data=1\nd top\nf top/f data=1",
    ),
    ("a file in the place of a directory", "f far data=1"),
    (
        "a directory that is made anew",
        "- d\nd d\nd d/e\nf d/e/deep data=1",
    ),
    (
        "only attributes",
        "m d/e mode=711\nm far/away/one own=5:6\nm / mode=700",
    ),
    (
        "only extended attributes",
        "m d x:user.a=b\nm top x:user.a=b",
    ),
    ("a name that came and went", "f d/gone data=1\n- d/gone"),
    (
        "siblings that sort between",
        "f a-b data=1\nf a/b data=1\nw d-e/f data=changed",
    ),
    ("nothing", ""),
];

#[test]
fn what_was_touched_in_a_way_that_is_rare_is_found() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    store.create("base", None).expect("create");
    changed(
        store,
        "base",
        "d a\nf a/many data=1\nd d\nd d/e\nf d/e/deep data=1\nd far\nd far/away\nf far/away/one data=1\n\
         h far/away/two to=far/away/one\nh d/one to=far/away/one\nf top data=1\nd d-e\nf d-e/f data=1\nd empty",
    );
    let path = store.mount("base").expect("mount");
    // More names than fit into one item, so that there are items of another kind.
    for number in 0..200 {
        let name = format!("{number:0>200}");
        fs::hard_link(path.join("a/many"), path.join("a").join(name)).expect("link");
    }
    store.unmount("base").expect("unmount");
    store.create("twin", Some("base")).expect("create");
    for (number, (what, script)) in RARE.into_iter().enumerate() {
        let id = format!("rare-{number}");
        store.create(&id, Some("base")).expect("create");
        changed(store, &id, script);
        same_as_walked(store, &id, "twin", what);
    }
    // While it is mounted, and not on the device.
    store.create("live", Some("base")).expect("create");
    let path = store.mount("live").expect("mount");
    let long = fs::File::options().append(true).open(path.join("top"));
    let mut long = long.expect("open");
    for round in 0..5 {
        // Appended to and nothing else: the kernel does not touch the node before the content is written.
        std::io::Write::write_all(&mut long, b"more").expect("append");
        same_as_walked(store, "live", "twin", "while a file grows");
        fs::write(path.join("d/e/deep"), round.to_string()).expect("write");
        fs::write(path.join(format!("d/e/{round}")), "new").expect("write");
        same_as_walked(store, "live", "twin", "while it is mounted");
    }
    drop(long);
    store.unmount("live").expect("unmount");
}

#[test]
fn what_was_made_within_a_layer_and_what_became_of_the_parent_is_found() {
    let bench = setup::BTRFS.start();
    let store = &bench.store;
    store.create("base", None).expect("create");
    changed(store, "base", "d a\nd a/b\nf a/b/f data=1\nf top data=1");
    for id in ["twin", "nested", "live"] {
        store.create(id, Some("base")).expect("create");
    }
    let path = store.mount("nested").expect("mount");
    let inner = path.join("a/b/inner");
    run(&["btrfs", "-q", "subvolume", "create", text(&inner)]);
    fs::write(inner.join("f"), "1").expect("write");
    store.unmount("nested").expect("unmount");
    same_as_walked(store, "nested", "twin", "with a subvolume within");
    store.create("twice", Some("nested")).expect("create");
    store.create("twice-twin", Some("nested")).expect("create");
    let path = store.mount("twice").expect("mount");
    fs::write(path.join("a/b/inner/f"), "2").expect("write");
    store.unmount("twice").expect("unmount");
    same_as_walked(store, "twice", "twice-twin", "within a subvolume");
    assert_eq!(
        store.changes("twice", Against::Parent).expect("changes"),
        "C /a\nC /a/b\nC /a/b/inner\nC /a/b/inner/f\n"
    );
    // Someone changes the parent behind everyone's back: it is compared as it is now.
    let metadata = bench.daemon.client.get(&store.target("base", "/metadata"));
    let metadata = metadata.expect("metadata");
    let base = Path::new(metadata["metadata"]["SourceDir"].as_str().expect("a path"));
    tree::build(base, "w a/b/f data=changed\nf new data=1\n- top");
    assert_eq!(
        store.changes("live", Against::Parent).expect("changes"),
        "C /a\nC /a/b\nC /a/b/f\nD /new\nA /top\n"
    );
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}
