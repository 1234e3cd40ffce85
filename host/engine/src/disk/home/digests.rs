//! The digests of a layer's files, as a file beside its record. What is in it, `scrub/digests.rs` knows.
//!
//! Invariant: whoever lets a layer be changed has its digests go first, and for good: after a power cut they would be digests
//! of other files.

use super::{Home, Layout};
use crate::disk::files;
use crate::settings::Durability;
use mica_sys::{filesystem, node};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

/// Bytes of a list, which is in memory as a whole: of about a million files.
pub(crate) const MOST_DIGEST_BYTES: usize = 64 << 20;

impl Layout {
    /// Reads the digests in a layer's open directory; `None` if it has none.
    ///
    /// # Errors
    /// What reading says; `FileTooLarge`.
    pub(crate) fn read_digests(&self, layer: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
        match node::open_regular(layer, &self.digests) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => files::read_bounded(File::from(opened?), MOST_DIGEST_BYTES as u64).map(Some),
        }
    }

    /// Whether a layer has digests.
    ///
    /// # Errors
    /// What looking says.
    pub(crate) fn has_digests(&self, number: u64) -> io::Result<bool> {
        let layer = self.open_layer(number)?;
        match node::stat(layer.as_fd(), &self.digests) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Home {
    /// Writes the digests in a layer's open directory, under the name of a draft; answers what puts the draft in their place.
    pub(crate) fn write_digests(
        &self,
        layer: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> io::Result<impl FnOnce() -> io::Result<()>> {
        let new = &self.layout.new_digests;
        remove(layer, new)?;
        let written = node::create_regular(layer, new, 0o600)
            .map(File::from)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                match self.durability {
                    // A name without content would be damage after a power cut.
                    Durability::Commit => filesystem::sync_file(file.as_fd()),
                    Durability::None => Ok(()),
                }
            });
        if let Err(error) = written {
            let _removed = remove(layer, new);
            return Err(error);
        }
        let digests = &self.layout.digests;
        Ok(move || node::replace(layer, new, digests))
    }

    /// Removes the digests of a layer that is about to be changed.
    pub(crate) fn forget_digests(&self, number: u64) -> io::Result<()> {
        let layer = self.layout.open_layer(number)?;
        if remove(layer.as_fd(), &self.layout.digests)? && self.durability == Durability::Commit {
            filesystem::sync_file(layer.as_fd())?;
        }
        Ok(())
    }
}

/// Removes a file, and says whether there was one.
fn remove(layer: BorrowedFd<'_>, name: &mica_sys::Name) -> io::Result<bool> {
    match node::remove_file(layer, name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
