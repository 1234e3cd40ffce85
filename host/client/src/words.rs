//! Values of documents as words for tables.
//!
//! Invariant: what is absent is a dash.

use mica_text::SafeText;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// A value as text; `-` if it is absent or empty.
pub fn told(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    or_dash(text(&value))
}

/// A field of a document as text; `-` if it is absent, null or empty.
pub fn field(document: &Value, name: &str) -> String {
    or_dash(document.get(name).map(text).unwrap_or_default())
}

/// A text; `-` if it is empty.
pub fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// A number of a document; 0 if it is absent.
pub fn number(document: &Value, name: &str) -> u64 {
    document.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A list of a document; empty if it is absent.
pub fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    let items = document.get(name).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

/// Names, one a line, and nothing else: for other programs.
pub fn lines<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let lines = names.into_iter().map(|name| format!("{}\n", safe(name)));
    lines.collect()
}

/// Names and values, one pair a line and indented, below a title; nothing if there are none.
pub fn section(title: &str, found: &[(String, String)]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let names = found.iter().map(|(name, _)| format!("  {}", safe(name)));
    let names: Vec<String> = names.collect();
    let values = found.iter().map(|(_, value)| safe(value));
    let lines = names.iter().map(String::as_str).zip(values);
    format!("\n{title}\n{}", crate::print::pairs(lines))
}

/// Bytes of a value: a path of the longest name with every character written out.
const TEXT_BYTES: usize = 64 << 10;

/// A text in one line of printable characters.
pub fn safe(text: &str) -> String {
    SafeText::within(text, TEXT_BYTES).into()
}

/// A value as text without quotes, in one line of printable characters: names come from layers and from other clients.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => safe(text),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

/// A change as the original prints it: a letter and a path.
#[must_use]
pub fn change(change: &Value) -> String {
    let letter = match change.get("kind").and_then(Value::as_str) {
        Some("add") => 'A',
        Some("modify") => 'C',
        Some("delete") => 'D',
        _ => '?',
    };
    format!("{letter} {}", field(change, "path"))
}

/// A time of a document to the second, without the fraction.
pub fn moment(document: &Value, name: &str) -> String {
    whole_seconds(field(document, name))
}

/// A time to the second, without the fraction.
pub fn seconds(moment: &impl Serialize) -> String {
    whole_seconds(told(moment))
}

fn whole_seconds(text: String) -> String {
    match text.split_once('.') {
        Some((seconds, rest)) if rest.ends_with('Z') => format!("{seconds}Z"),
        _ => text,
    }
}

/// The beginning of a digest.
pub fn short_digest(digest: &str) -> String {
    let (algorithm, hexadecimal) = digest.split_once(':').unwrap_or(("", digest));
    match hexadecimal.get(..12) {
        Some(short) if !algorithm.is_empty() => format!("{algorithm}:{short}"),
        Some(short) => short.to_owned(),
        None => digest.to_owned(),
    }
}

/// Bytes with a decimal unit: `1.5 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, rounded; the first unit in which it stays below 1000.
    let mut tenths = bytes.saturating_add(50) / 100;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while tenths >= 10_000 {
        let Some(next) = units.next() else { break };
        tenths = (tenths + 500) / 1000;
        unit = Some(next);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&"B"))
}

/// A time that passed: `1.25 s`, `3m 20s`.
pub fn duration(passed: Duration) -> String {
    let seconds = passed.as_secs();
    match seconds {
        0 if passed.as_millis() < 10 => format!("{:.1} ms", passed.as_secs_f64() * 1000.0),
        0 => format!("{} ms", passed.as_millis()),
        1..60 => format!("{:.2} s", passed.as_secs_f64()),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_one_line() {
        assert_eq!(change(&json!({"path": "/a b", "kind": "modify"})), "C /a b");
        assert_eq!(
            change(&json!({"path": "/a\nD /etc\u{202e}", "kind": "add"})),
            r"A /a\nD /etc\u{202e}"
        );
    }

    #[test]
    fn bytes_are_rounded_to_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_549_000, "1.5 MB"),
            (1_550_000, "1.6 MB"),
            (999_999, "1.0 MB"),
            (252_000_000_000, "252.0 GB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    #[test]
    fn digests_are_cut() {
        assert_eq!(
            short_digest("sha256:0123456789abcdef"),
            "sha256:0123456789ab"
        );
        assert_eq!(short_digest("short"), "short");
    }
}
