//! Where in the configuration file something stands, and what a key was meant to be.
//!
//! Invariant: says nothing about what a setting means.

use toml::de::{DeTable, DeValue};

/// How alike two names must be, from 0 to 1, for one to be taken for a slip of the other.
const LIKENESS: f64 = 0.85;

/// The line of a setting, counted from 1; `name` is `section.key`, or `key` outside of sections.
pub(super) fn line_of(text: &str, name: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut table = table.get_ref();
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        let value = table.get(part)?;
        if parts.peek().is_none() {
            return Some(line_at(text, value.span().start));
        }
        table = match value.get_ref() {
            DeValue::Table(table) => table,
            _ => return None,
        };
    }
    None
}

/// The line at an offset of a text, counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What the parser says, without the list of all keys, and with the one that was meant.
pub(super) fn reason(error: &toml::de::Error) -> String {
    let message = error.message();
    let Some((what, known)) = message.split_once(", expected one of ") else {
        return message.to_owned();
    };
    let given = what.split('`').nth(1).unwrap_or_default();
    let known = known.split('`').skip(1).step_by(2).map(str::to_owned);
    let meant = self::meant(given, known);
    match meant {
        Some(meant) => format!("{what}; did you mean `{meant}`?"),
        None => format!("{what}; `mica explain configuration` lists what there is"),
    }
}

/// The name that was meant, if one is alike.
pub(crate) fn meant(given: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|known| (strsim::jaro_winkler(given, &known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_line() {
        let text = "root = '/r'\n\n[limits]\nhandles = 1\n[drivers.hello]\nmax_depth = 2\n";
        for (name, line) in [
            ("root", Some(1)),
            ("limits.handles", Some(4)),
            ("drivers.hello.max_depth", Some(6)),
            ("limits.options", None),
            ("root.x", None),
        ] {
            assert_eq!(line_of(text, name), line, "{name}");
        }
        assert_eq!(
            line_of("limits = { handles = 1 }", "limits.handles"),
            Some(1)
        );
        assert_eq!(line_of("a = [", "a"), None);
    }
}
