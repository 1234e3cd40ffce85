//! What a run of the kit tells.
//!
//! Invariant: data only; every text that a driver or an archive had a part in is safe to show.

use mica_text::SafeText;
use serde::{Deserialize, Serialize};

/// Bytes of what was expected, and of what was seen.
const SHOWN_BYTES: usize = 4096;
/// Lines of a tree or a list that are shown of each side.
const SHOWN_LINES: usize = 12;

/// What is wanted of the kit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// Grants beside the standard ones, by name.
    pub grants: Vec<String>,
    /// Options of the store.
    pub options: Vec<(String, String)>,
    /// Parts of the names of the cases that are played; all if there is none.
    pub only: Vec<String>,
    /// Where the store lies; in memory without it.
    pub directory: Option<std::path::PathBuf>,
}

/// A case, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseView {
    /// The name.
    pub name: String,
    /// `behaviour`, `history` or `archive`.
    pub group: String,
    /// What it is about, or where it comes from.
    pub about: String,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case.
    #[serde(flatten)]
    pub case: CaseView,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub milliseconds: u64,
    /// What the driver said in a case that failed, and where it broke: the last lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// The driver did what the case asks for.
    Passed,
    /// It did not.
    Failed {
        /// What was seen instead.
        mismatch: Box<Mismatch>,
    },
    /// This place cannot play the case.
    LeftOut {
        /// Why.
        reason: String,
    },
}

/// Where a driver did something else than a case asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The function of the contract that answered, `diff-driver.apply-diff`, or what was done with its answer.
    pub call: String,
    /// The layer that it was about.
    pub layer: Option<String>,
    /// What should have been: one line, or lines of a tree or list that are missing.
    pub expected: String,
    /// What was.
    pub seen: String,
}

impl Mismatch {
    /// One line on each side.
    pub(crate) fn new(call: &str, layer: Option<&str>, expected: &str, seen: &str) -> Box<Self> {
        let line = |text: &str| SafeText::within(text, SHOWN_BYTES).to_string();
        Box::new(Self {
            call: call.to_owned(),
            layer: layer.map(|layer| SafeText::label(layer).to_string()),
            expected: line(expected),
            seen: line(seen),
        })
    }

    /// Lines on each side, of which only those are told that the other side does not have.
    pub(crate) fn lines(call: &str, layer: &str, expected: &str, seen: &str) -> Box<Self> {
        let only = |of: &str, other: &str| {
            let other: std::collections::BTreeSet<_> = other.lines().collect();
            let lines: Vec<_> = of.lines().filter(|line| !other.contains(line)).collect();
            let shown = lines.iter().take(SHOWN_LINES);
            let mut text: Vec<_> = shown.map(|line| SafeText::line(line).to_string()).collect();
            match lines.len() {
                0 => text.push("nothing more".to_owned()),
                count if count > SHOWN_LINES => {
                    text.push(format!("and {} lines more", count - SHOWN_LINES));
                }
                _ => {}
            }
            text.join("\n")
        };
        let (mut only_expected, mut only_seen) = (only(expected, seen), only(seen, expected));
        if only_expected == only_seen {
            // The same lines in another order.
            let all = |text: &str| SafeText::within(text, SHOWN_BYTES).to_string();
            (only_expected, only_seen) = (all(expected), all(seen));
        }
        Box::new(Self {
            call: call.to_owned(),
            layer: Some(SafeText::label(layer).to_string()),
            expected: only_expected,
            seen: only_seen,
        })
    }
}

/// A driver that cases are played on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverFacts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of the component.
    pub digest: String,
}

/// Where cases are played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceFacts {
    /// The file system below the store.
    pub filesystem: String,
    /// Whether files can have any owner, or only one.
    pub owners: String,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The driver.
    pub driver: DriverFacts,
    /// The place.
    pub place: PlaceFacts,
    /// The cases in the order in which they were played.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// How many cases passed, failed, and were left out.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |of: fn(&Verdict) -> bool| {
            let cases = self.cases.iter();
            cases.filter(|case| of(&case.verdict)).count()
        };
        (
            count(|verdict| *verdict == Verdict::Passed),
            count(|verdict| matches!(verdict, Verdict::Failed { .. })),
            count(|verdict| matches!(verdict, Verdict::LeftOut { .. })),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_and_nothing_can_drive_a_terminal() {
        let told = Mismatch::lines(
            "get",
            "a",
            "/ d\n/kept f\n/gone f\n",
            "/ d\n/kept f\n/\x1b[31m f\n",
        );
        assert_eq!(told.expected, "/gone f");
        assert_eq!(told.seen, "/\\u{1b}[31m f");
        let told = Mismatch::lines("changes", "a", "A /a\nA /b\n", "A /b\nA /a\n");
        assert_eq!(told.expected, "A /a\\nA /b\\n");
        let many: String = (0..20).map(|number| format!("/{number}\n")).collect();
        let told = Mismatch::lines("get", "a", &many, "");
        assert_eq!(told.expected.lines().count(), SHOWN_LINES + 1);
        assert_eq!(told.seen, "nothing more");
    }
}
