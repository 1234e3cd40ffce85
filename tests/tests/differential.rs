//! Layers made by chance, unpacked by Mica in each of its ways and by others: the trees are the same, but for what
//! `cases/differences.toml` says.
//!
//! Compared are types, contents, owners, modes, extended attributes, targets and hard links. Not compared are times
//! (programs differ in what they do to those of directories) and the top directory's own attributes. containerd is not
//! asked: its overlay unpacker needs its own snapshotter, and `containerd_golden` compares that. GNU tar is asked for
//! the base only, for it knows no layers.
//!
//! `MICA_SEED` sets another seed, `MICA_CASES` another number of cases; a failure prints the case.

use std::collections::BTreeSet;

use mica_tests::archive::archive;
use mica_tests::differential::{BASE, Case};
use mica_tests::docker;
use mica_tests::lab::FileSystem;
use mica_tests::setup::{self, Setup};
use mica_tests::unpackers::{Dockerd, Unpacked, tree_of, umoci};
use serde::Deserialize;

/// Cases of one run.
const CASES: u64 = 48;
/// The seed of the suite.
const SEED: u64 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    difference: Vec<Difference>,
}

/// A choice: where Mica does something else than a peer, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// `umoci` or `overlay2`.
    peer: String,
    /// The trait of a layer, see `Case::traits`.
    when: String,
    mica: String,
    theirs: String,
    reason: String,
    source: String,
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(otherwise, |text| text.parse().expect(variable))
}

fn cases() -> Vec<Case> {
    let (seed, count) = (number("MICA_SEED", SEED), number("MICA_CASES", CASES));
    (0..count).map(|number| Case::new(seed, number)).collect()
}

/// What a driver makes of the cases, over REST.
fn over_rest(setup: &Setup, cases: &[Case]) -> Vec<Unpacked> {
    let bench = setup.start();
    let store = &bench.store;
    store.create("base", None).expect("create the base");
    store.apply("base", &archive(BASE)).expect("apply the base");
    let unpack = |case: &Case| {
        store.create("layer", Some("base")).expect("create");
        let applied = store.apply("layer", &case.archive());
        let unpacked = match applied {
            Ok(_) => {
                let tree = tree_of(&store.view("layer").expect("view"));
                store.unmount("layer").expect("unmount");
                Ok(tree)
            }
            Err(problem) => Err(problem.detail),
        };
        store.remove("layer").expect("remove");
        unpacked
    };
    cases.iter().map(unpack).collect()
}

/// The order of a layer's entries does not decide what the layer means.
#[test]
fn every_order_of_a_layer_gives_the_same_tree() {
    const ORDERS: u64 = 6;
    let (seed, count) = (number("MICA_SEED", SEED + 1), number("MICA_CASES", CASES));
    let orders = |case: Case| (0..ORDERS).map(move |order| case.shuffled(seed + order));
    let cases: Vec<Case> = (0..count)
        .flat_map(|number| orders(Case::new(seed, number)))
        .collect();
    for setup in [&setup::OVERLAY_EXT4, &setup::EROFS_EXT4, &setup::VFS_EXT4] {
        let trees = over_rest(setup, &cases);
        let per_case = usize::try_from(ORDERS).expect("a few");
        for (cases, trees) in cases.chunks(per_case).zip(trees.chunks(per_case)) {
            for (case, tree) in cases.iter().zip(trees) {
                let (first, first_tree) = (&cases[0], &trees[0]);
                assert_eq!(
                    shown(tree),
                    shown(first_tree),
                    "{}: {case}\nis not\n{first}",
                    setup.driver
                );
                assert!(tree.is_ok(), "{}: {case}\n{}", setup.driver, shown(tree));
            }
        }
    }
}

/// What the overlay driver makes of them over Docker's socket.
fn over_docker(cases: &[Case]) -> Vec<Unpacked> {
    let bench = docker::Bench::with(FileSystem::Ext4, "overlay");
    let plugin = &bench.plugin;
    plugin.create("base", "").expect("create the base");
    plugin.apply("base", "", &archive(BASE)).expect("apply");
    let unpack = |case: &Case| {
        plugin.create("layer", "base").expect("create");
        let unpacked = plugin.apply("layer", "base", &case.archive()).map(|_| {
            let tree = tree_of(&plugin.get("layer").expect("get"));
            plugin.about("Put", "layer").expect("put");
            tree
        });
        plugin.about("Remove", "layer").expect("remove");
        unpacked
    };
    cases.iter().map(unpack).collect()
}

#[test]
fn a_layer_means_the_same_for_every_driver_and_socket_and_for_others() {
    let table: Table = toml::from_str(include_str!("../cases/differences.toml")).expect("table");
    let cases = cases();
    let ours = over_rest(&setup::OVERLAY_EXT4, &cases);
    let others = [
        ("erofs", over_rest(&setup::EROFS_EXT4, &cases)),
        ("vfs", over_rest(&setup::VFS_EXT4, &cases)),
        ("docker-socket", over_docker(&cases)),
        ("umoci", by_umoci(&cases)),
        ("overlay2", by_overlay2(&cases)),
    ];
    let (mut failures, mut used) = (Vec::new(), BTreeSet::new());
    for (peer, theirs) in &others {
        for ((case, our), their) in cases.iter().zip(&ours).zip(theirs) {
            let same = match (our, their) {
                (Ok(our), Ok(their)) => our == their,
                // Each says it in its own words.
                (Err(_), Err(_)) => true,
                _ => false,
            };
            let traits = case.traits();
            let choice = table
                .difference
                .iter()
                .position(|row| row.peer == *peer && traits.contains(row.when.as_str()));
            match choice {
                _ if same => {}
                Some(row) => drop(used.insert(row)),
                None => failures.push(format!(
                    "{case}\n{traits:?}\n-- Mica\n{}\n-- {peer}\n{}",
                    shown(our),
                    shown(their)
                )),
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} differences that no one chose:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    // A row that nothing needs says something that is not so.
    if (number("MICA_SEED", SEED), number("MICA_CASES", CASES)) == (SEED, CASES) {
        for (row, difference) in table.difference.iter().enumerate() {
            let texts = [
                &difference.mica,
                &difference.theirs,
                &difference.reason,
                &difference.source,
            ];
            assert!(texts.iter().all(|text| !text.is_empty()), "{difference:?}");
            assert!(used.contains(&row), "no case needs it: {difference:?}");
        }
    }
}

fn by_umoci(cases: &[Case]) -> Vec<Unpacked> {
    let scratch =
        tempfile::TempDir::with_prefix_in("mica-umoci-", "/var/tmp").expect("a directory");
    let unpack = |case: &Case| umoci(scratch.path(), &[archive(BASE), case.archive()]);
    cases.iter().map(unpack).collect()
}

fn by_overlay2(cases: &[Case]) -> Vec<Unpacked> {
    let lab = mica_tests::lab::Lab::on(FileSystem::Ext4);
    let work = lab.path("fs/dockerd");
    std::fs::create_dir(&work).expect("make a directory");
    let dockerd = Dockerd::start(&work);
    let unpack = |case: &Case| {
        let name = format!("case{}", case.number);
        dockerd.unpack(&name, &[archive(BASE), case.archive()])
    };
    cases.iter().map(unpack).collect()
}

/// The base, which is a plain archive, by GNU tar as well.
#[test]
fn the_base_is_what_gnu_tar_makes_of_it() {
    let bench = setup::OVERLAY_EXT4.start();
    bench.store.create("base", None).expect("create");
    bench.store.apply("base", &archive(BASE)).expect("apply");
    let ours = tree_of(&bench.store.view("base").expect("view"));
    bench.store.unmount("base").expect("unmount");
    let theirs = bench.lab.scratch("tar");
    mica_tests::listing::extract(&archive(BASE), &theirs);
    assert_eq!(ours, tree_of(&theirs));
}

fn shown(unpacked: &Unpacked) -> &str {
    match unpacked {
        Ok(tree) => tree,
        Err(said) => said,
    }
}
