//! Digests, and readers and writers that make them.
//!
//! Invariant: a [`Digest`] is `sha256:` and 64 lower-case hexadecimal digits, so that it can be a file's name.

use crate::Error;
use mica_text::{SafeText, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

/// The only algorithm that images use.
const PREFIX: &str = "sha256:";

/// A SHA-256 of bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// The 64 digits.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            digits.len() == 64 && digits.bytes().all(is_digit)
        });
        match digits {
            Some(digits) => Ok(Self(digits.to_owned())),
            None => Err(Error::Malformed(format!(
                "`{}` is no digest: `sha256:` and 64 lower-case hexadecimal digits",
                SafeText::label(text)
            ))),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The name of a layer with all that lie below it, as the image specification makes it: the first layer's own digest, and for
/// each further one the digest of `<chain id below> <digest>`.
pub fn chain_id(below: Option<&Digest>, layer: &Digest) -> Digest {
    match below {
        None => layer.clone(),
        Some(below) => Digest::of(format!("{below} {layer}").as_bytes()),
    }
}

/// A reader whose end is an error unless its bytes have a digest and a length.
#[derive(Debug)]
pub(crate) struct Checked<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
    expected: Digest,
    expected_bytes: Option<u64>,
    what: &'static str,
    is_checked: bool,
}

impl<R: Read> Checked<R> {
    pub(crate) fn new(
        inner: R,
        what: &'static str,
        expected: &Digest,
        expected_bytes: Option<u64>,
    ) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
            expected: expected.clone(),
            expected_bytes,
            what,
            is_checked: false,
        }
    }

    fn check(&mut self) -> io::Result<()> {
        self.is_checked = true;
        let found = Digest(hex(&std::mem::take(&mut self.hash).finalize()));
        let (what, expected) = (self.what, &self.expected);
        let reason = match self.expected_bytes {
            Some(said) if said != self.bytes => {
                format!("{what} {expected} has {} bytes, not {said}", self.bytes)
            }
            _ if found != *expected => format!("{what} {expected} has the digest {found}"),
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, reason))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() && !self.is_checked {
            self.check()?;
        }
        let new = buffer.get(..read).unwrap_or_default();
        self.hash.update(new);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// A writer that makes a digest of what passes.
#[derive(Debug)]
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// The writer, the digest of what was written, and its bytes.
    pub(crate) fn end(self) -> (W, Digest, u64) {
        (self.inner, Digest(hex(&self.hash.finalize())), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_a_digest_and_nothing_else() {
        let good = Digest::of(b"").to_string();
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        for bad in [
            "",
            "sha256:",
            "sha512:00",
            &good.to_uppercase(),
            &good[..70],
            "sha256:../../../etc/passwd",
            &format!("{good}0"),
        ] {
            let error = bad.parse::<Digest>().unwrap_err();
            assert!(error.to_string().contains("is no digest"), "{error}");
        }
    }

    #[test]
    fn what_has_other_bytes_has_no_end() {
        let read = |expected: &[u8], size| {
            let mut reader = Checked::new(&b"bytes"[..], "blob", &Digest::of(expected), size);
            io::copy(&mut reader, &mut io::sink())
        };
        assert_eq!(read(b"bytes", Some(5)).unwrap(), 5);
        assert_eq!(read(b"bytes", None).unwrap(), 5);
        for error in [read(b"other", Some(5)), read(b"bytes", Some(4))] {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn chains_are_named_as_the_image_specification_says() {
        let [a, b] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
        assert_eq!(chain_id(None, &a), a);
        let both = Digest::of(format!("sha256:{} sha256:{}", a.digits(), b.digits()).as_bytes());
        assert_eq!(chain_id(Some(&a), &b), both);
    }
}
