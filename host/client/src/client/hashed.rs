//! A writer of whose bytes a digest is made.
//!
//! Invariant: the digest is that of what was written, and of no more.

use mica_text::hex;
use sha2::{Digest as _, Sha256};
use std::io::{self, Write};

/// A writer, and the digest of what it got.
pub(super) struct Hashed<'a> {
    inner: &'a mut dyn Write,
    digest: Sha256,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(inner: &'a mut dyn Write) -> Self {
        let digest = Sha256::new();
        Self { inner, digest }
    }

    /// `sha256:` and hexadecimal digits.
    pub(super) fn digest(self) -> String {
        format!("sha256:{}", hex(&self.digest.finalize()))
    }
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
