//! Every trap of other implementations and every attack by an archive that is on record is a case of some suite.
//!
//! The records are numbered lists (`FEATURES 6.2 no. N`, `ATTACKS N`); a case names its source.

use std::collections::BTreeSet;
use std::fs;

use mica_tests::build::repository;
use serde::Deserialize;

/// Traps that no case can show, and why.
const NO_TRAPS_HERE: &[(u32, &str)] = &[
    (
        16,
        "a store has a home of its own: there is no second place where a driver is begun",
    ),
    (17, "errors are variants: nothing compares them by identity"),
    (
        20,
        "no layer needs an `l/` link: it is one directory, published whole; short names for containerd are made anew at need",
    ),
    (22, "there are no project quotas yet"),
    (
        29,
        "nothing sleeps: times are compared to the nanosecond, which the histories do",
    ),
];

/// An attack of `cases/attacks.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    number: u32,
    attack: String,
    source: String,
    outcome: String,
    /// Tests and cases that show the outcome.
    #[serde(default)]
    tests: Vec<String>,
    /// Why there is none.
    absent: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attacks {
    attack: Vec<Attack>,
}

/// All that the cases and suites say.
fn texts() -> String {
    let directories = [
        "host/cases/data",
        "tests/cases",
        "tests/tests",
        "tests/src",
        "host/engine/src",
        "host/engine/src/disk/home",
        "host/engine/src/mounts",
        "host/engine/src/disk/rows",
        "host/engine/src/snapshots",
        "host/sys/src/mount",
        "host/sys/src/node",
        "host/sys/src/tree",
    ];
    let files = directories.iter().flat_map(|path| {
        fs::read_dir(repository().join(path))
            .expect("list")
            .flatten()
    });
    let text =
        files.filter(|entry| !entry.path().ends_with("coverage.rs") && entry.path().is_file());
    text.map(|entry| fs::read_to_string(entry.path()).expect("a text"))
        .collect()
}

/// The numbers that follow a word, in lists such as `1, 2 and 4`.
fn numbers(text: &str, word: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(word) {
        let rest = &text[at + word.len()..];
        let list = |character: char| character.is_ascii_digit() || ", and".contains(character);
        let end = rest
            .find(|character| !list(character))
            .unwrap_or(rest.len());
        let parts = rest[..end].split(|character: char| !character.is_ascii_digit());
        found.extend(parts.filter_map(|part| part.parse::<u32>().ok()));
    }
    found
}

#[track_caller]
fn all_named(word: &str, range: std::ops::RangeInclusive<u32>, elsewhere: &[(u32, &str)]) {
    let named = numbers(&texts(), word);
    let missing: Vec<_> = range
        .filter(|number| {
            !named.contains(number) && !elsewhere.iter().any(|(other, _)| other == number)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "no case names as its source: {word}{missing:?}"
    );
    let both: Vec<_> = elsewhere
        .iter()
        .filter(|(number, _)| named.contains(number))
        .collect();
    assert!(both.is_empty(), "there is a case after all: {both:?}");
}

#[test]
fn every_trap_has_a_case() {
    all_named("FEATURES 6.2 no. ", 1..=30, NO_TRAPS_HERE);
}

/// What FEATURES 1.8 and 2.4 say of the format, each with the case or test that shows it: kept as it is, or mended
/// where it is a defect.
const FORMAT: &[(&str, &[&str])] = &[
    // 1.8, the list of changes.
    (
        "kinds and their order",
        &["changes-are-in-byte-order", "diff-apply-10-files"],
    ),
    (
        "one deletion for a whole tree",
        &["remove-directory-in-lower-layer"],
    ),
    (
        "a file becomes a directory and back",
        &["kinds-replace-one-another"],
    ),
    (
        "times to the nanosecond; directories' are no change",
        &["times", "touched-only"],
    ),
    (
        "mode, owner and capability are changes",
        &["chown", "xattrs-and-capabilities"],
    ),
    ("device numbers are changes", &["every-kind-of-node"]),
    (
        "nothing is listed where nothing changed",
        &["nothing-changed"],
    ),
    (
        "sizes, each node once",
        &["sizes_are_those_of_the_original"],
    ),
    // 1.8, the writer.
    (
        "names, trailing slashes, whiteouts, modes, types",
        &["entries_are_these"],
    ),
    (
        "hard links by node, also to what did not change",
        &[
            "hard-links-within-a-layer",
            "hard-link-to-an-unchanged-name",
        ],
    ),
    (
        "PAX only where it must be, big ids by base 256",
        &["long-paths", "owners"],
    ),
    (
        "no time and no process number of the writer",
        &["nothing_in_a_diff_depends_on_when_and_who"],
    ),
    (
        "a file that changes breaks the stream",
        &["a_tree_that_changes_gives_a_whole_archive_or_a_broken_stream"],
    ),
    (
        "others read the same",
        &["python_and_gnu_tar_read_the_same_entries"],
    ),
    ("the top has attributes of its own", &["modes-of-the-root"]),
    (
        "byte for byte moby's over Docker's protocol",
        &["an_upper_directory_gives_mobys_bytes"],
    ),
    // 1.8, the reader.
    (
        "sizes of all headers",
        &["the_size_is_the_sum_of_all_headers"],
    ),
    ("parents that are only implied", &["implied-directories"]),
    (
        "AUFS's own names, pseudo links",
        &[
            "aufs-metadata",
            "aufs-hardlinks",
            "aufs-hardlink-without-source",
        ],
    ),
    (
        "names that leave the layer",
        &["name-dotdot-alone", "name-dotdot-inside"],
    ),
    (
        "whiteouts, opaque directories, in any order",
        &["whiteouts", "opaque-first", "opaque-last"],
    ),
    (
        "whiteouts that hide no name",
        &[
            "whiteout-of-nothing-named",
            "whiteout-of-dot",
            "whiteout-of-dotdot",
        ],
    ),
    (
        "a directory over a directory, anything over anything",
        &["directory-merges", "kind-flips"],
    ),
    (
        "hard links by prefix, absolute ones, their attributes",
        &[
            "name-prefix-sibling",
            "hardlink-absolute",
            "hardlink-has-its-target-s-attributes",
        ],
    ),
    (
        "global headers, unknown types",
        &["global-header", "type-unknown"],
    ),
    (
        "attributes by an allow-list",
        &[
            "xattr-trusted-opaque",
            "xattr-security-names",
            "xattr-capability",
        ],
    ),
    (
        "times of directories that a whiteout took away",
        &["directory-whited-out-later"],
    ),
    (
        "compression by its first bytes, short streams",
        &[
            "compressed_archives_are_recognised",
            "junk_is_refused_at_once",
        ],
    ),
    // 2.4.
    (
        "the entry of the top, dots in names",
        &["root-entry", "dots-in-names"],
    ),
    (
        "implied directories under an opaque one",
        &["opaque-with-implied-directories"],
    ),
    (
        "symbolic links are resolved within the layer",
        &["absolute-symlink-parent", "symlink-in-the-lower"],
    ),
    (
        "devices in a user namespace",
        &["device_nodes_of_a_user_namespace_are_refused_by_name"],
    ),
];

fn is_there(texts: &str, case: &str) -> bool {
    texts.contains(&format!("name = \"{case}\"")) || texts.contains(&format!("fn {case}()"))
}

#[test]
fn every_rule_of_the_format_has_a_case() {
    let texts = texts();
    let missing: Vec<_> = FORMAT
        .iter()
        .flat_map(|(rule, cases)| cases.iter().map(move |case| (rule, case)))
        .filter(|(_, case)| !is_there(&texts, case))
        .collect();
    assert!(missing.is_empty(), "no such case: {missing:?}");
}

#[test]
fn every_attack_has_a_test_or_a_reason() {
    let attacks: Attacks = toml::from_str(include_str!("../cases/attacks.toml")).expect("attacks");
    let texts = texts();
    let numbers: Vec<_> = attacks.attack.iter().map(|attack| attack.number).collect();
    assert_eq!(numbers, (1..=104).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for attack in attacks.attack {
        let number = attack.number;
        for (field, text) in [
            ("attack", attack.attack),
            ("source", attack.source),
            ("outcome", attack.outcome),
        ] {
            if text.is_empty() {
                wrong.push(format!("{number}: no {field}"));
            }
        }
        if attack.tests.is_empty() == attack.absent.is_none() {
            wrong.push(format!("{number}: either tests or a reason"));
        }
        let missing = attack.tests.iter().filter(|test| !is_there(&texts, test));
        wrong.extend(missing.map(|test| format!("{number}: no test `{test}`")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A case that names the number of an attack as its source stands in the table.
#[test]
fn every_case_of_an_attack_is_in_the_table() {
    let table = include_str!("../cases/attacks.toml");
    let known: BTreeSet<u32> = (1..=104).collect();
    let named = numbers(&texts().replace(table, ""), "ATTACKS ");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "no such attack: {unknown:?}");
}
