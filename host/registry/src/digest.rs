//! Digests as registries have them.
//!
//! Invariant: always `sha256:` and 64 small hexadecimal digits, so that it can stand in a path as it is.

use crate::error::Error;
use mica_text::{SafeText, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The digest of a blob or a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Digits of SHA-256.
    const DIGITS: usize = 64;

    /// That of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex(&Sha256::digest(bytes))))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.strip_prefix("sha256:");
        let is_right = digits
            .is_some_and(|digits| digits.len() == Self::DIGITS && digits.bytes().all(is_digit));
        match is_right {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "`{}` is no digest: it must be `sha256:` and 64 small hexadecimal digits",
                SafeText::label(text)
            )),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares bytes that a registry sent with it.
    ///
    /// # Errors
    /// [`Error::Lies`].
    pub(crate) fn check(&self, what: &str, bytes: &[u8]) -> Result<(), Error> {
        let found = Self::of(bytes);
        match found == *self {
            true => Ok(()),
            false => Err(Error::Lies {
                what: what.to_owned(),
                wanted: self.0.clone(),
                found: found.0,
            }),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}
