//! Content that someone else keeps by its digest, as the OCI image layout and containerd do: `<root>/blobs/sha256/<digest>`.
//!
//! Invariant: what is said of a blob is checked, not believed: its size and digest, over all of its bytes; what is at the place
//! of a blob and is no regular file is not opened.

use mica_sys::{Name, filesystem, node};
use mica_text::hex;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// What is said of a blob: its digest by SHA-256, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    digits: String,
    size: u64,
}

impl Blob {
    /// Takes a digest, `sha256:` and 64 digits in lower case, and a size; nothing for a digest of another kind.
    #[must_use]
    pub fn new(digest: &str, size: u64) -> Option<Self> {
        let digits = digest.strip_prefix("sha256:")?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_digest = digits.len() == DIGEST_DIGITS && digits.bytes().all(is_digit);
        let digits = is_digest.then(|| digits.to_owned())?;
        Some(Self { digits, size })
    }

    /// Opens it in a content store. Reading ends with `InvalidData` if the blob is not what was said of it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open(&self, root: &Path) -> io::Result<impl Read + Send + use<>> {
        let root = filesystem::open_directory_itself(root)?;
        let below = |above: OwnedFd, text: &str| node::open_directory(above.as_fd(), &name(text)?);
        let blobs = below(below(root, "blobs")?, "sha256")?;
        let file = node::open_regular(blobs.as_fd(), &name(&self.digits)?)?;
        Ok(self.check(File::from(file)))
    }

    /// Reads it from elsewhere. Reading ends with `InvalidData` if that is not what was said of it.
    pub fn check<R: Read + Send>(&self, reader: R) -> impl Read + Send + use<R> {
        Checked::new(reader, self.clone())
    }
}

fn name(text: &str) -> io::Result<Name> {
    Name::new(text.as_bytes()).map_err(io::Error::other)
}

/// Compares what is read with what was said.
#[derive(Debug)]
struct Checked<R> {
    inner: R,
    told: Blob,
    digest: Option<Sha256>,
    count: u64,
}

impl<R> Checked<R> {
    fn new(inner: R, told: Blob) -> Self {
        let (digest, count) = (Some(Sha256::new()), 0);
        Self {
            inner,
            told,
            digest,
            count,
        }
    }

    fn damaged(&self, what: &str) -> io::Error {
        let text = format!("blob `sha256:{}` {what}", self.told.digits);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Checks all that was read.
    fn end(&mut self) -> io::Result<()> {
        let Some(digest) = self.digest.take() else {
            return Ok(());
        };
        let (count, size) = (self.count, self.told.size);
        if count != size {
            return Err(self.damaged(&format!("has {count} bytes, {size} were told")));
        }
        let found = hex(&digest.finalize());
        if found != self.told.digits {
            return Err(self.damaged(&format!("has the digest `sha256:{found}`")));
        }
        Ok(())
    }
}

impl<R: Read> Read for Checked<R> {
    #[expect(
        clippy::indexing_slicing,
        reason = "a reader reads no more than the buffer: the digest would be of less than what is handed on"
    )]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 {
            if !buffer.is_empty() {
                self.end()?;
            }
            return Ok(0);
        }
        self.count += read as u64;
        if self.count > self.told.size {
            return Err(self.damaged(&format!("has more than the {} bytes told", self.told.size)));
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&buffer[..read]);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(bytes: &[u8], size: u64) -> Blob {
        let digest = format!("sha256:{}", hex(&Sha256::digest(bytes)));
        Blob::new(&digest, size).unwrap()
    }

    fn read(bytes: &[u8], told: Blob) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        Checked::new(bytes, told)
            .read_to_end(&mut read)
            .map(|_| read)
    }

    #[test]
    fn a_blob_is_what_was_told_or_an_error() {
        let told = |size| blob(b"blob", size);
        assert_eq!(read(b"blob", told(4)).unwrap(), b"blob");
        for (bytes, size, what) in [
            (&b"blob"[..], 3, "more than the 3 bytes"),
            (b"blob", 5, "has 4 bytes, 5 were told"),
            (b"blub", 4, "has the digest"),
            (b"", 4, "has 0 bytes"),
        ] {
            let error = read(bytes, told(size)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn only_a_digest_that_can_be_checked_is_one() {
        let digits = "ab".repeat(32);
        for digest in [
            String::new(),
            digits.clone(),
            format!("sha512:{digits}"),
            format!("sha256:{}", digits.to_uppercase()),
            format!("sha256:../{}", &digits[3..]),
            format!("sha256:{}", &digits[1..]),
        ] {
            assert_eq!(Blob::new(&digest, 4), None, "{digest}");
        }
    }

    #[test]
    fn what_is_no_regular_file_below_the_root_is_not_opened() {
        let place = tempfile::tempdir().unwrap();
        let told = blob(b"blob", 4);
        let root = place.path().join("content");
        let blobs = root.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        assert!(told.open(&root).is_err());
        let elsewhere = place.path().join("elsewhere");
        std::fs::write(&elsewhere, b"blob").unwrap();
        let blob = blobs.join(&told.digits);
        std::os::unix::fs::symlink(&elsewhere, &blob).unwrap();
        assert!(told.open(&root).is_err(), "a link");
        std::fs::remove_file(&blob).unwrap();
        std::fs::create_dir(&blob).unwrap();
        assert!(told.open(&root).is_err(), "a directory");
        std::fs::remove_dir(&blob).unwrap();
        std::fs::write(&blob, b"blob").unwrap();
        let mut read = Vec::new();
        told.open(&root).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"blob");
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&root, &link).unwrap();
        assert!(told.open(&link).is_err(), "a root that is a link");
    }
}
