//! The central check: a history of scripts, one layer each, played on a driver and on plain directories.
//!
//! What must hold after each step: the layer looks like the directory, mounted and as a view; its diff is the same
//! bytes twice; the diff applied to a copy of the parent gives the same tree, the same changes and the same diff; the
//! whole layer unpacked by GNU tar gives the same tree; and the layers below are what they were.
//!
//! Invariant: the expected trees come from the same script on an ordinary file system, never from a driver.

use std::collections::BTreeSet;
use std::fs;

use mica_cases::expected::{self, copied, empty, size_of, without_sockets};
pub use mica_cases::expected::{base64, compared};

use crate::client::{Against, Store};
use crate::dump::{self, Node, as_archived, as_layered, nodes, print};
use crate::listing;
use crate::setup::{Bench, Changes, Setup};
use crate::tree;

/// A history and what is known of it beforehand.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Part of the layers' ids.
    pub name: String,
    /// One script a layer, the base first.
    pub steps: Vec<String>,
    /// The changes of the last layer, where they were written down.
    pub changes: Option<String>,
    /// The changes of the last layer where the driver takes them from the upper directory.
    pub native_changes: Option<String>,
}

/// What became of one step.
struct Step {
    id: String,
    copy: String,
    expected: Vec<Node>,
    /// The copy: where the archive did not name a directory, its time is that of the copy below.
    copied: Vec<Node>,
}

/// Plays a history on a bench, checks all of it and removes it.
#[track_caller]
pub fn play(bench: &Bench, setup: &Setup, history: &History) {
    let watch = bench.watch();
    let model = bench.lab.scratch(&format!("{}-model", history.name));
    let mut steps: Vec<Step> = Vec::new();
    for (number, script) in history.steps.iter().enumerate() {
        let before = as_layered(&nodes(&model));
        tree::build(&model, script);
        let expected = as_layered(&nodes(&model));
        let (id, copy) = (
            format!("{}-{number}", history.name),
            format!("{}-{number}-copy", history.name),
        );
        let copied = Vec::new();
        let mut step = Step {
            id,
            copy,
            expected,
            copied,
        };
        write_layer(&bench.store, &step, steps.last(), &before, script);
        step.copied = check_archives(bench, &step, steps.last());
        check_changes(
            &bench.store,
            setup,
            history,
            &step,
            &before,
            number + 1 == history.steps.len(),
        );
        steps.push(step);
    }
    for step in &steps {
        assert_eq!(
            seen(&bench.store, &step.id),
            print(&step.expected),
            "`{}` changed afterwards",
            step.id
        );
    }
    for step in steps.iter().rev() {
        for id in [&step.id, &step.copy] {
            bench
                .store
                .remove(id)
                .unwrap_or_else(|problem| panic!("remove `{id}`: {problem:?}"));
        }
    }
    fs::remove_dir_all(&model).expect("remove the model");
    watch.check();
}

fn write_layer(store: &Store, step: &Step, below: Option<&Step>, before: &[Node], script: &str) {
    let id = &step.id;
    store
        .create(id, below.map(|below| below.id.as_str()))
        .unwrap_or_else(|problem| panic!("create `{id}`: {problem:?}"));
    let path = store
        .mount(id)
        .unwrap_or_else(|problem| panic!("mount `{id}`: {problem:?}"));
    assert_eq!(
        print(&as_layered(&nodes(&path))),
        print(before),
        "`{id}` does not begin as its parent"
    );
    tree::build(&path, script);
    assert_eq!(
        print(&as_layered(&nodes(&path))),
        print(&step.expected),
        "`{id}` while it is mounted"
    );
    assert_eq!(store.unmount(id).expect("unmount"), 0);
    assert_eq!(seen(store, id), print(&step.expected), "`{id}` seen again");
}

/// The dump of a layer through a read-only view.
#[track_caller]
pub fn seen(store: &Store, id: &str) -> String {
    let path = store
        .view(id)
        .unwrap_or_else(|problem| panic!("view `{id}`: {problem:?}"));
    let seen = print(&as_layered(&nodes(&path)));
    assert_eq!(store.unmount(id).expect("unmount"), 0);
    seen
}

/// Checks the archives of a step, and returns what its copy looks like.
fn check_archives(bench: &Bench, step: &Step, below: Option<&Step>) -> Vec<Node> {
    let (store, id, copy) = (&bench.store, &step.id, &step.copy);
    let diff = store
        .diff(id, Against::Parent)
        .unwrap_or_else(|problem| panic!("diff `{id}`: {problem:?}"));
    let same = diff == store.diff(id, Against::Parent).expect("diff again");
    assert!(same, "the diff of `{id}` is other bytes the second time");
    let entries = listing::list(&diff);
    let sizes: u64 = entries.iter().map(|entry| entry.size).sum();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(
        names.len(),
        names.iter().collect::<BTreeSet<_>>().len(),
        "a name comes twice: {}",
        listing::lines(&diff)
    );

    store
        .create(copy, below.map(|below| below.copy.as_str()))
        .expect("create a copy");
    let report = store
        .apply(copy, &diff)
        .unwrap_or_else(|problem| panic!("apply the diff of `{id}`: {problem:?}"));
    assert_eq!(report["size_bytes"], sizes, "{report}");
    assert_eq!(report["entries"], entries.len(), "{report}");
    let below = below.map_or(&[][..], |below| &below.copied);
    let copied = copied(&step.expected, &names, below);
    assert_eq!(
        seen(store, copy),
        print(&copied),
        "the copy of `{id}`; its diff:\n{}",
        listing::lines(&diff)
    );
    let of_copy = store.diff(copy, Against::Parent).expect("diff of the copy");
    assert!(
        of_copy == diff,
        "the diff of the copy:\n{}of `{id}`:\n{}",
        listing::lines(&of_copy),
        listing::lines(&diff)
    );

    let unpacked = bench.lab.scratch(&format!("{id}-unpacked"));
    let whole = store.diff(id, Against::Nothing).expect("the whole layer");
    listing::extract(&whole, &unpacked);
    assert_eq!(
        archived_dump(&unpacked),
        print(&as_archived(&step.expected)),
        "`{id}` unpacked by GNU tar"
    );
    fs::remove_dir_all(&unpacked).expect("remove what was unpacked");
    copied
}

fn check_changes(
    store: &Store,
    setup: &Setup,
    history: &History,
    step: &Step,
    before: &[Node],
    last: bool,
) {
    let changes = store.changes(&step.id, Against::Parent).expect("changes");
    let of_copy = store
        .changes(&step.copy, Against::Parent)
        .expect("changes of the copy");
    let written = match setup.changes {
        Changes::Native => history.native_changes.as_ref().or(history.changes.as_ref()),
        Changes::Compared => history.changes.as_ref(),
    };
    let expected = match written.filter(|_| last) {
        Some(written) => written
            .lines()
            .map(|line| line.trim().to_owned() + "\n")
            .collect(),
        None => compared(before, &step.expected),
    };
    let of_copy_expected = without_sockets(&expected, before, &step.expected);
    match (setup.changes, written) {
        (Changes::Native, None) => {
            check_native(&expected, &changes, before, &step.expected);
            check_native(&of_copy_expected, &of_copy, before, &step.expected);
        }
        _ => {
            assert_eq!(changes, expected, "the changes of `{}`", step.id);
            assert_eq!(
                of_copy, of_copy_expected,
                "the changes of the copy of `{}`",
                step.id
            );
        }
    }
    // FEATURES 6.2 no. 9: the original listed `/` in any case. It counts if it is not that of an empty layer.
    let nothing = compared(&empty(&step.expected), &step.expected);
    assert_eq!(
        store
            .changes(&step.id, Against::Nothing)
            .expect("all changes"),
        nothing,
        "all of `{}`",
        step.id
    );
    let size = store.size(&step.id, Against::Nothing).expect("the size");
    assert_eq!(size, size_of(&step.expected), "the size of `{}`", step.id);
}

/// Changes from an upper directory: all that a comparison finds, and beyond it only what was written to and looks as
/// before.
#[track_caller]
fn check_native(expected: &str, changes: &str, before: &[Node], after: &[Node]) {
    if let Err(wrong) = expected::check_native(expected, changes, before, after) {
        panic!("{wrong}\n{changes}");
    }
}

/// The dump of a plain directory as an archive would give it back.
pub fn archived_dump(root: &std::path::Path) -> String {
    dump::print(&as_archived(&nodes(root)))
}
