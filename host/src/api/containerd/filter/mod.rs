//! containerd's filters: `name==a,labels."x.y"~=/b+/`.
//!
//! ```text
//! selectors := selector ("," selector)*
//! selector  := fieldpath [operator value]
//! fieldpath := field ("." field)*
//! field     := quoted | [A-Za-z0-9_]+
//! operator  := "==" | "!=" | "~="
//! value     := quoted | anything without space and comma
//! ```
//!
//! All selectors of a filter must match, and one filter of several.
//!
//! Invariant: accepts what containerd accepts, with one difference: a regular expression that does not compile is
//! refused, where containerd lets it match nothing.

mod parse;
mod scan;

use crate::config::ContainerdLimits;
use mica_engine::{SafeText, Snapshot};
use parse::Selector;

/// Why a filter cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("filter `{}`: {reason} at byte {at}", shown(.filter))]
pub(super) struct InvalidFilter {
    filter: String,
    at: usize,
    reason: String,
}

/// With quotes written out, as containerd shows a filter.
fn shown(filter: &str) -> String {
    SafeText::label(&filter.escape_debug().to_string()).into()
}

/// The filters of a request.
#[derive(Debug)]
pub(super) struct Filters(Vec<Vec<Selector>>);

impl Filters {
    /// Reads filters; none match everything, and so does an empty one.
    pub(super) fn parse(
        filters: &[String],
        limits: ContainerdLimits,
    ) -> Result<Self, InvalidFilter> {
        // An empty one counts too, so this bounds how many there are.
        let bytes: usize = filters.iter().map(|filter| filter.len() + 1).sum();
        if bytes > limits.filter_bytes {
            let most = limits.filter_bytes;
            return Err(InvalidFilter {
                filter: filters.first().cloned().unwrap_or_default(),
                at: 0,
                reason: format!(
                    "all filters have {bytes} bytes, {most} are allowed: `containerd.filter_bytes`"
                ),
            });
        }
        let mut expressions = limits.filter_expressions;
        let parsed = filters
            .iter()
            .map(|filter| parse::selectors(filter, &mut expressions));
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// Whether a snapshot matches one of them.
    pub(super) fn match_snapshot(&self, snapshot: &Snapshot) -> bool {
        let field = |path: &[String]| field(snapshot, path);
        let mut filters = self.0.iter();
        self.0.is_empty() || filters.any(|all| all.iter().all(|selector| selector.matches(&field)))
    }
}

/// The value of a snapshot's field.
fn field<'a>(snapshot: &'a Snapshot, path: &[String]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "kind" => Some(snapshot.kind.as_str()),
        "name" => Some(&snapshot.key),
        "parent" => Some(snapshot.parent.as_deref().unwrap_or_default()),
        "labels" => snapshot.labels.get(&rest.join(".")).map(String::as_str),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_engine::{Moment, SnapshotKind};

    fn snapshot(key: &str, parent: Option<&str>, labels: &[(&str, &str)]) -> Snapshot {
        let labels = labels.iter();
        Snapshot {
            key: key.into(),
            kind: SnapshotKind::Committed,
            parent: parent.map(str::to_owned),
            layer: None,
            labels: labels
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            created: Moment::now(),
            updated: Moment::now(),
            usage: None,
            mapping: None,
            late_parent: false,
            replaceable: false,
            place: None,
        }
    }

    fn matching(filters: &[&str]) -> Result<String, InvalidFilter> {
        let corpus = [
            snapshot("foo", None, &[("foo", "true")]),
            snapshot("bar", Some("foo"), &[]),
            snapshot("fop", Some("foo"), &[("more complex label", "present")]),
            snapshot("x \\ y", None, &[("a \\ and \".post", "present")]),
            snapshot(
                "dotted",
                None,
                &[
                    ("containerd.io/snapshot.ref", "sha256:ab"),
                    ("foo", "a_b.c-d"),
                ],
            ),
        ];
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let filters = Filters::parse(&filters, ContainerdLimits::default())?;
        let found = corpus
            .iter()
            .filter(|snapshot| filters.match_snapshot(snapshot));
        Ok(found
            .map(|snapshot| snapshot.key.as_str())
            .collect::<Vec<_>>()
            .join(" "))
    }

    /// From containerd's own `filter_test.go`, and what it asks snapshotters with.
    #[test]
    fn filters_match_as_containerd_has_them() {
        for (filter, expected) in [
            ("", "foo bar fop x \\ y dotted"),
            ("name", "foo bar fop x \\ y dotted"),
            ("labels.foo", "foo dotted"),
            ("labels.foo,name==foo", "foo"),
            ("labels.foo==a_b.c-d", "dotted"),
            ("name!=bar,parent==foo", "fop"),
            ("name == foo", "foo"),
            ("parent==\"\"", "foo x \\ y dotted"),
            ("name==\"x \\\\ y\"", "x \\ y"),
            ("name~=^fo[op]$", "foo fop"),
            ("name~=/^fo[op]$/", "foo fop"),
            ("name~=|^.{3}$|", "foo bar fop"),
            ("name~=/[abc]{0,1}\"\\//", ""),
            ("labels.\"more complex label\"", "fop"),
            ("labels.\"a \\\\ and \\\"\".post==present", "x \\ y"),
            (
                "labels.\"containerd.io/snapshot.ref\"==sha256:ab,parent==\"\"",
                "dotted",
            ),
            ("name==\"\\x66\\u006f\\157\"", "foo"),
            ("kind==committed,name==bar", "bar"),
            ("kind==active", ""),
            ("nosuchfield", ""),
            ("nosuchfield!=1", "foo bar fop x \\ y dotted"),
        ] {
            assert_eq!(matching(&[filter]).unwrap(), expected, "{filter}");
        }
        assert_eq!(matching(&["name==foo", "name==bar"]).unwrap(), "foo bar");
        assert_eq!(matching(&[]).unwrap(), "foo bar fop x \\ y dotted");
    }

    #[test]
    fn what_does_not_parse_is_refused_with_the_place() {
        for (filter, reason) in [
            ("kind==", "a value or a quoted one is expected at byte 6"),
            (
                "name==foo,",
                "a field or a quoted one is expected at byte 10",
            ),
            ("labels.", "a field or a quoted one is expected at byte 7"),
            (
                "labels.|foo|==x",
                "this quote is for regular expressions alone at byte 7",
            ),
            (
                "labels.?\"a\"",
                "a field or a quoted one is expected at byte 7",
            ),
            (
                "image~=,id",
                "a value or a quoted one is expected at byte 7",
            ),
            ("labels.ns/key==value", "a quote without its end at byte 9"),
            ("labels.key==/value", "a quote without its end at byte 12"),
            ("name==\"a\\q\"", "an escape that is none at byte 8"),
            ("name==\"a\\x4\"", "an escape that is none at byte 8"),
            (
                "name==\"\\xff\"",
                "a quoted text that is no UTF-8 at byte 6",
            ),
            (
                "name=foo",
                "`=` is no operator; there are ==, != and ~= at byte 4",
            ),
            (
                "name===foo",
                "`===` is no operator; there are ==, != and ~= at byte 4",
            ),
            ("name==foo bar", "something after a value at byte 9"),
            ("name==a\0b", "something after a value at byte 7"),
            (
                "name~=/(/",
                "a regular expression that does not compile at byte 6",
            ),
            (
                "name~=/a{1000}{1000}{1000}/",
                "a regular expression that does not compile at byte 6",
            ),
        ] {
            let error = matching(&[filter]).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{error}");
        }
    }

    #[test]
    fn filters_are_bounded_before_they_are_read() {
        let long = "x".repeat(70_000);
        let many = vec![""; 70_000];
        let expressions = vec!["name~=a"; 33];
        for (filters, told) in [
            (&[long.as_str()][..], "`containerd.filter_bytes`"),
            (many.as_slice(), "`containerd.filter_bytes`"),
            (expressions.as_slice(), "`containerd.filter_expressions`"),
        ] {
            let refused = matching(filters).unwrap_err().to_string();
            assert!(refused.contains(told) && refused.len() < 1000, "{refused}");
        }
    }
}
