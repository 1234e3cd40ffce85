//! What an archive can be applied to.
//!
//! Invariant: the defaults fit a tree that is complete in itself; a driver whose layer lies over others overrides them.

use super::way::is_missing;
use crate::host::directory;
use crate::tree::Directory;
use crate::{Code, Doing as _, Failure, Result};

/// A directory of a layer that an archive is applied to.
pub trait Target: Directory {
    /// Whether what the layers below have can be seen, so that nothing is to be hidden where they have nothing.
    const IS_BELOW_KNOWN: bool = true;

    /// Frees a name for a node that is no directory: removes what this layer has there. A missing name is fine.
    ///
    /// # Errors
    /// What the host answers; so for all methods.
    fn make_way(&self, name: &[u8]) -> Result<(), Failure> {
        remove(self, name)
    }

    /// Makes an empty directory where none is visible; what else has the name makes way.
    ///
    /// # Errors
    /// See [`Target::make_way`].
    fn renew_directory(&self, name: &[u8], mode: u32) -> Result<Self, Failure> {
        remove(self, name)?;
        self.create_directory(name, mode)
    }

    /// Removes a name from the layer and hides it where lower layers have it. A missing name is fine.
    ///
    /// # Errors
    /// See [`Target::make_way`].
    fn erase(&self, name: &[u8]) -> Result<(), Failure> {
        remove(self, name)
    }

    /// Hides all that lower layers have in this directory. From then on `list` names only what this layer has.
    ///
    /// # Errors
    /// See [`Target::make_way`].
    fn sever(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Removes a name with all that lies below it, whatever it is; a missing name is fine.
///
/// # Errors
/// What the host answers.
pub(super) fn remove<D: Directory>(directory: &D, name: &[u8]) -> Result<(), Failure> {
    let removed = match directory.remove_file(name) {
        Err(failure) if failure.code == Code::IsADirectory => directory.remove_tree(name),
        removed => removed,
    };
    removed.unless(Code::NotFound).map(|_| ())
}

/// Opens a directory that an entry describes, or makes it where something else or nothing is, and says whether it was made. One
/// that is there has none of its extended attributes any more: the entry tells them all.
pub(super) fn open_or_make<T: Target>(
    parent: &T,
    name: &[u8],
    mode: u32,
) -> Result<(T, bool), Failure> {
    let made = match parent.open_directory(name) {
        // Nothing has to make way.
        Err(failure) if failure.code == Code::NotFound => parent.create_directory(name, mode),
        Err(failure) if is_missing(failure.code) || failure.code == Code::Symlink => {
            parent.renew_directory(name, mode)
        }
        opened => {
            let directory = opened?;
            directory.clear_own_xattrs()?;
            return Ok((directory, false));
        }
    };
    Ok((made?, true))
}

impl Target for directory::Directory {}
