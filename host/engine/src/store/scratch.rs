//! A directory beside the stores that goes with its handle.
//!
//! Invariant: its name begins with a dot, so the next start deletes what is left of it.

use super::site;
use crate::disk::files;
use mica_sys::{Name, node, tree};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A directory beside the stores that goes with its handle.
#[derive(Debug)]
pub(crate) struct Scratch {
    parent: OwnedFd,
    name: Name,
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Scratch {
    pub(super) fn new(stores: &Path) -> io::Result<Self> {
        let text = format!(".{}", files::random_name()?);
        let name = Name::new(text.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let parent = files::open_directory(stores)?;
        node::create_directory(parent.as_fd(), &name, 0o700)?;
        Ok(Self {
            parent,
            name,
            path: stores.join(text),
        })
    }

    /// Gives it its final name, under which nothing may be.
    pub(super) fn keep(&self, name: &str) -> io::Result<()> {
        let parent = self.parent.as_fd();
        let name = Name::new(name.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        node::rename(parent, &self.name, parent, &name)?;
        mica_sys::filesystem::sync_file(parent)
    }
}

impl Scratch {
    /// Deletes it now, and the store elsewhere that a link in it leads to. What could not be deleted the next start tries.
    pub(super) fn clear(&self, stores: &Path) {
        if let Err(error) = site::clear(stores, self.parent.as_fd(), &self.name) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a scratch directory stays until the next start");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Gone already when it was kept; what else stays, the next start deletes.
        let _removed = tree::remove(self.parent.as_fd(), &self.name);
    }
}
