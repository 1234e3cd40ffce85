//! What every driver must do, as data, and what it takes to see whether one does: scripts that make trees and archives, a
//! print of a tree, and what must come of a history by rule.
//!
//! The conformance suite of the repository plays it through a daemon, `mica driver test` through an engine of its own.
//!
//! Invariant: nothing here knows Mica. The expected trees come from scripts on ordinary file systems, never from a driver.

pub mod archive;
pub mod dump;
pub mod expected;
pub mod listing;
pub mod script;
pub mod tree;

use serde::Deserialize;

/// Layers that a driver must treat as plain directories treat the same scripts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// What it is called.
    pub name: String,
    /// Where it comes from, and what it is about.
    pub source: String,
    /// One script of [`tree`] a layer, the base first.
    pub steps: Vec<String>,
    /// The changes of the last layer; without them the rules of [`expected::compared`] decide.
    pub changes: Option<String>,
    /// The same where a driver takes them from an upper directory, and rightly sees more.
    pub native_changes: Option<String>,
}

/// An archive that is applied to a layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// What it is called.
    pub name: String,
    /// Where it comes from, and what it is about.
    pub source: String,
    /// A script of [`tree`] that makes the parent layer; without one there is no parent.
    pub base: Option<String>,
    /// The archive, as a script of [`archive`].
    pub archive: String,
    /// What must become of it.
    pub expect: Expect,
    /// What is changed of `base`, times aside, where it must be taken.
    pub tree: Option<String>,
    /// The code of the refusal, where it is not `invalid-archive`.
    pub code: Option<String>,
    /// What the refusal must name.
    pub names: Option<String>,
    /// Extended attributes that must be left out.
    pub skipped: Option<u64>,
}

/// What must become of an archive.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// It is refused, and the layer stays as it was.
    Refused,
    /// It is taken, and gives a certain tree.
    Tree,
    /// Either, as long as nothing else changes.
    Safe,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    case: Vec<T>,
}

/// The histories, `data/histories.toml`.
///
/// # Panics
/// If the data of the program is not what this crate reads.
#[must_use]
pub fn histories() -> Vec<History> {
    let file: File<History> =
        toml::from_str(include_str!("../data/histories.toml")).expect("histories.toml");
    file.case
}

/// The archives, `data/archives.toml`.
///
/// # Panics
/// If the data of the program is not what this crate reads.
#[must_use]
pub fn archives() -> Vec<Archive> {
    let file: File<Archive> =
        toml::from_str(include_str!("../data/archives.toml")).expect("archives.toml");
    file.case
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_a_name_of_its_own_and_a_source() {
        let (histories, archives) = (histories(), archives());
        let of_histories = histories.iter().map(|case| (&case.name, &case.source));
        let of_archives = archives.iter().map(|case| (&case.name, &case.source));
        let mut names = BTreeSet::new();
        for (name, source) in of_histories.chain(of_archives) {
            assert!(names.insert(name), "two cases are called `{name}`");
            assert!(!source.is_empty(), "`{name}` has no source");
        }
        for case in archives {
            let has_tree = case.tree.is_some();
            assert_eq!(has_tree, case.expect == Expect::Tree, "{}", case.name);
        }
    }
}
