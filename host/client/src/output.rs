//! Text and documents as a terminal may get them.
//!
//! Invariant: whatever is in them, a terminal only prints.

use std::fmt;
use std::str::FromStr;

use mica_text::SafeText;

use crate::template::{NoTemplate, Template};

/// For whom results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// For programs, as one document.
    Json,
    /// For programs, one document a line: each entry of a list.
    Lines,
    /// For scripts, a text for each entry of a list. A program reads one in its life.
    Template(&'static Template),
}

impl FromStr for Output {
    type Err = NoTemplate;

    fn from_str(text: &str) -> Result<Self, NoTemplate> {
        Ok(match text {
            "table" => Self::Table,
            "json" => Self::Json,
            "jsonl" => Self::Lines,
            _ => Self::Template(Box::leak(Box::new(Template::parse(text)?))),
        })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => formatter.write_str("table"),
            Self::Json => formatter.write_str("json"),
            Self::Lines => formatter.write_str("jsonl"),
            Self::Template(template) => template.fmt(formatter),
        }
    }
}

/// A text for people as a terminal may get it: whatever is in it, it only prints. Lines stay lines.
pub fn shown(text: &str) -> String {
    let lines = text.split('\n');
    lines
        .map(|line| SafeText::within(line, usize::MAX).into())
        .collect::<Vec<String>>()
        .join("\n")
}

/// JSON in characters that a terminal prints: the others become its own escapes, so that a program reads the same.
pub fn printable_json(text: &str) -> String {
    // Nearly always; a list of a large layer has megabytes.
    if text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        return text.to_owned();
    }
    let mut printable = String::with_capacity(text.len());
    let mut units = [0; 2];
    for character in text.chars() {
        if character == '\n' || SafeText::is_printable(character) {
            printable.push(character);
        } else {
            // Such a character stands in a string: outside of strings JSON is ASCII.
            for unit in character.encode_utf16(&mut units) {
                printable.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_document_is_printable_and_the_same() {
        let names = json!({ "\u{202e}key\n": ["\u{1b}[31m", "\u{85}\u{e0041}", "ä日🦀"] });
        let text = printable_json(&format!("{names:#}"));
        assert!(
            text.chars()
                .all(|one| one == '\n' || SafeText::is_printable(one)),
            "{text}"
        );
        assert!(
            text.contains("ä日🦀") && text.contains(r"\u202ekey\n"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), names);
    }

    #[test]
    fn what_is_shown_has_its_lines_and_nothing_that_drives_a_terminal() {
        assert_eq!(shown("a\tb\u{7}\n\u{202e}c\n"), "a\\tb\\u{7}\n\\u{202e}c\n");
        let long = "x".repeat(1 << 20);
        assert_eq!(shown(&long), long);
    }
}
