//! Text of strangers: drivers, archives, clients.
//!
//! A driver's error, a function's name in a trap, a file's name in an archive can hold whatever its author likes: line ends
//! that forge a log line, escape sequences that drive a terminal, characters that turn the reading direction, megabytes.
//! Where such bytes become text of the host they become a [`SafeText`], and nothing else makes one.
//!
//! Invariant: a `SafeText` is one line of printable characters, and not long. What it is made of does not matter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use std::error::Error;
use std::fmt::{self, Write as _};
use std::ops::Deref;

/// Bytes of a name: of a driver's version, an option, a key.
const LABEL_BYTES: usize = 256;
/// Bytes of a message: a sentence with some paths in it.
const LINE_BYTES: usize = 4096;

/// Text of a stranger, as it can be shown to people: one line, escaped and cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeText(String);

impl SafeText {
    /// A name or a key: at most 256 bytes.
    #[must_use]
    pub fn label(text: &str) -> Self {
        Self::within(text, LABEL_BYTES)
    }

    /// A message: at most 4 KiB.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self::within(text, LINE_BYTES)
    }

    /// At most `most` bytes, and then a note that says how long the text was. A character that is not printable (control
    /// characters, those that turn the reading direction or have no width, those that no one has assigned) is written out:
    /// `\n`, `\u{202e}`. Letters of all scripts stay as they are, and so do quotes and backslashes.
    #[must_use]
    pub fn within(text: &str, most: usize) -> Self {
        if text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Self(text.to_owned());
        }
        let mut safe = String::with_capacity(text.len().min(most));
        for character in text.chars() {
            let before = safe.len();
            match Self::is_printable(character) {
                true => safe.push(character),
                false => safe.extend(character.escape_debug()),
            }
            if safe.len() > most {
                safe.truncate(before);
                // Writing to a string cannot fail.
                let _written = write!(safe, "… (cut, it has {} bytes)", text.len());
                break;
            }
        }
        Self(safe)
    }

    /// Whether a character is shown as it is.
    #[must_use]
    pub fn is_printable(character: char) -> bool {
        if character.is_ascii() {
            return matches!(character, ' '..='~');
        }
        // The standard library knows which characters are printable, but tells it by escaping the others only. A combining
        // mark is printable after a letter.
        let pair = ['a', character];
        let written: String = pair.iter().collect();
        written.escape_debug().eq(pair)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for SafeText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<&str> for SafeText {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SafeText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// A message.
impl From<&str> for SafeText {
    fn from(text: &str) -> Self {
        Self::line(text)
    }
}

/// A message.
impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::line(&text)
    }
}

impl From<SafeText> for String {
    fn from(text: SafeText) -> Self {
        text.0
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The bytes of a digest in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that should be text, as documents have them: the text, with U+FFFD for what is none, and then the exact bytes too, in
/// base64 with padding.
#[must_use]
pub fn text_of(bytes: Vec<u8>) -> (String, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let bytes = error.as_bytes();
            let text = String::from_utf8_lossy(bytes).into_owned();
            (text, Some(STANDARD.encode(bytes)))
        }
    }
}

/// The bytes that [`text_of`] made a document's fields of; the text's own where the base64 is none.
#[must_use]
pub fn bytes_of(text: &str, exact: Option<&str>) -> Vec<u8> {
    exact
        .and_then(|exact| STANDARD.decode(exact).ok())
        .unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(
            text_of(b"/caf\xc3\xa9".to_vec()),
            ("/café".to_owned(), None)
        );
        let (text, exact) = text_of(b"/caf\xe9".to_vec());
        assert_eq!(
            (text.as_str(), exact.as_deref()),
            ("/caf\u{fffd}", Some("L2NhZuk="))
        );
        assert_eq!(bytes_of(&text, exact.as_deref()), b"/caf\xe9");
        assert_eq!(bytes_of("/a", None), b"/a");
    }

    #[test]
    fn what_drives_a_terminal_or_forges_a_line_is_written_out() {
        for (given, shown) in [
            ("plain `text` with \"quotes\" and \\", None),
            ("Ünïcødé, 日本語, e\u{301}, नमस्ते, 🦀", None),
            ("a\nERROR forged", Some(r"a\nERROR forged")),
            (
                "\u{1b}[31mred\u{7}\r\t\0",
                Some(r"\u{1b}[31mred\u{7}\r\t\0"),
            ),
            ("\u{9b}31m\u{7f}\u{85}", Some(r"\u{9b}31m\u{7f}\u{85}")),
            ("exe.\u{202e}gpj", Some(r"exe.\u{202e}gpj")),
            (
                "\u{2066}\u{200b}\u{200d}\u{feff}",
                Some(r"\u{2066}\u{200b}\u{200d}\u{feff}"),
            ),
            (
                "\u{2028}\u{2029}\u{e0041}\u{e000}",
                Some(r"\u{2028}\u{2029}\u{e0041}\u{e000}"),
            ),
        ] {
            let text = SafeText::line(given);
            assert_eq!(text.as_str(), shown.unwrap_or(given));
            assert_eq!(SafeText::line(&text), text, "it is safe already");
        }
    }

    #[test]
    fn what_is_long_is_cut_at_a_character_and_says_so() {
        assert_eq!(SafeText::within("abcd", 4).as_str(), "abcd");
        assert_eq!(
            SafeText::within("abcde", 4).as_str(),
            "abcd… (cut, it has 5 bytes)"
        );
        assert_eq!(
            SafeText::within("ab\u{1b}", 4).as_str(),
            "ab… (cut, it has 3 bytes)"
        );
        for bytes in 0..9 {
            let text = SafeText::within("äöü", bytes);
            assert!(text.split('…').next().unwrap().len() <= bytes, "{text}");
        }
        let long = "\u{202e}".repeat(1 << 20);
        assert!(SafeText::line(&long).len() < 4200);
        assert!(SafeText::label(&long).ends_with("(cut, it has 3145728 bytes)"));
    }
}
