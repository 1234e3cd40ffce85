//! Names that were checked once.
//!
//! Invariant: there is no other way to make one, so what lies below the public functions need not check.

use crate::{Error, Result, SafeText};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// How ids begin that the engine makes for layers of snapshots.
const SNAPSHOT_PREFIX: &str = "snapshot-";
/// Characters of a refused name that an error repeats.
const SHOWN_BYTES: usize = 64;

/// The id of a layer: 1 to 255 bytes of UTF-8 without `/`, NUL and control characters, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerId(Arc<str>);

impl LayerId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`Error::InvalidId`].
    pub fn parse(text: &str) -> Result<Self> {
        let reason = if text.is_empty() {
            "it is empty"
        } else if text.len() > 255 {
            "it has more than 255 bytes"
        } else if text == "." || text == ".." {
            "`.` and `..` are directories"
        } else if text.contains('/') {
            "it has a `/`"
        } else if text.contains(char::is_control) {
            "it has a control character"
        } else {
            return Ok(Self(Arc::from(text)));
        };
        Err(Error::InvalidId {
            id: shown(text),
            reason,
        })
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of a layer that the engine makes for a snapshot: 32 hexadecimal digits tell it from others.
    pub(crate) fn of_snapshot(digits: &str) -> Result<Self> {
        Self::parse(&format!("{SNAPSHOT_PREFIX}{digits}"))
    }
}

impl TryFrom<String> for LayerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.as_str().to_owned()
    }
}

impl std::borrow::Borrow<str> for LayerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a store: 1 to 64 lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
/// It is a directory's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreName(Arc<str>);

impl StoreName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn parse(text: &str) -> Result<Self> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let reason = if text.is_empty() {
            "it is empty"
        } else if text.len() > 64 {
            "it has more than 64 bytes"
        } else if !text.bytes().all(allowed) {
            "it has other characters than lower-case letters, digits, `-`, `_` and `.`"
        } else if text.starts_with(['-', '_', '.']) {
            "it begins with a sign"
        } else {
            return Ok(Self(Arc::from(text)));
        };
        Err(Error::InvalidName {
            name: shown(text),
            reason,
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn shown(text: &str) -> String {
    SafeText::within(text, SHOWN_BYTES).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_path_or_break_a_line_is_no_layer_id() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a\0",
            "a\nb",
            "\u{85}",
            &"x".repeat(256),
        ] {
            assert!(LayerId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "...", "sha256:ab", "é b", "-rf", &"x".repeat(255)] {
            assert_eq!(LayerId::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_store_name_is_a_harmless_directory_name() {
        for bad in ["", ".", ".x", "-x", "A", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(StoreName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["default", "a.b-c_d", "0"] {
            assert!(StoreName::parse(good).is_ok());
        }
    }
}
