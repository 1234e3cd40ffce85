//! Every trap of other implementations and every attack by an archive that is on record is a case of some suite.
//!
//! The records are numbered lists (`FEATURES 6.2 no. N`, `ATTACKS N`); a case names its source.

use std::collections::BTreeSet;
use std::fs;

use mica_tests::build::repository;

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

/// Attacks of chapters I to IV that belong elsewhere, and where.
const OTHER_ATTACKS: &[(u32, &str)] = &[(
    47,
    "a driver that lies while the host copies: what it wrote is what the reader gets",
)];

/// All that the cases and suites say.
fn texts() -> String {
    let directories = ["tests/cases", "tests/tests", "tests/src"];
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

#[test]
fn every_attack_by_an_archive_has_a_case() {
    all_named("ATTACKS ", 1..=48, OTHER_ATTACKS);
}
