//! What an archive can be applied to.
//!
//! Invariant: the defaults fit a tree that is complete in itself; a driver whose layer lies over others overrides them.

use crate::host::directory;
use crate::tree::Directory;
use crate::{Code, Doing as _, Failure, Result};

/// A directory of a layer that an archive is applied to.
pub trait Target: Directory {
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

impl Target for directory::Directory {}
