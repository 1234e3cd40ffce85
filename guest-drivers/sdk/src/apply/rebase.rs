//! An upper directory whose layers below are not known yet: what containerd unpacks before it tells of the parent
//! (`rebase`).
//!
//! Deletions cannot be carried out, so they are kept as overlayfs keeps them: whiteouts and opaque directories.
//!
//! Invariant: what hides something of the layers below goes only if something else takes its name, and a directory that
//! takes it is opaque.

use super::Target;
use crate::host::{directory, mounts};
use crate::tree::Directory;
use crate::{AttributeChanges, Code, Doing as _, Entry, Failure, Node, NodeKind};

/// A directory of such an upper.
#[derive(Debug)]
pub struct Upper(directory::Directory);

impl Upper {
    /// The top of an upper directory.
    #[must_use]
    pub fn new(top: directory::Directory) -> Self {
        Self(top)
    }

    /// Removes what has a name; whether that was a whiteout.
    fn clear(&self, name: &[u8]) -> Result<bool, Failure> {
        let Some(found) = self.0.stat(name, &[]).unless(Code::NotFound)? else {
            return Ok(false);
        };
        let attributes = found.attributes;
        match attributes.kind {
            NodeKind::Directory => self.0.remove_tree(name)?,
            _ => self.0.remove_file(name)?,
        }
        Ok(attributes.kind == NodeKind::CharacterDevice
            && (attributes.major, attributes.minor) == (0, 0))
    }
}

impl Target for Upper {
    const IS_BELOW_KNOWN: bool = false;

    fn make_way(&self, name: &[u8]) -> Result<(), Failure> {
        self.clear(name).map(drop)
    }

    fn renew_directory(&self, name: &[u8], mode: u32) -> Result<Self, Failure> {
        let was_hidden = self.clear(name)?;
        let made = self.create_directory(name, mode)?;
        if was_hidden {
            made.sever()?;
        }
        Ok(made)
    }

    fn erase(&self, name: &[u8]) -> Result<(), Failure> {
        self.clear(name)?;
        mounts::make_whiteout(&self.0, name)
    }

    fn sever(&self) -> Result<(), Failure> {
        mounts::make_opaque(&self.0)
    }
}

impl Directory for Upper {
    type File = directory::File;
    type Listing = directory::Listing;

    fn get_attributes(&self, wanted: &[String]) -> Result<Entry, Failure> {
        self.0.get_attributes(wanted)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure> {
        self.0.set_attributes(changes)
    }

    fn list(&self, wanted: &[String]) -> Result<Self::Listing, Failure> {
        self.0.list(wanted)
    }

    fn stat(&self, name: &[u8], wanted: &[String]) -> Result<Entry, Failure> {
        self.0.stat(name, wanted)
    }

    fn open_directory(&self, name: &[u8]) -> Result<Self, Failure> {
        self.0.open_directory(name).map(Self)
    }

    fn open_file(&self, name: &[u8]) -> Result<Self::File, Failure> {
        self.0.open_file(name)
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Self, Failure> {
        self.0.create_directory(name, mode).map(Self)
    }

    fn create_file(&self, name: &[u8], mode: u32) -> Result<Self::File, Failure> {
        self.0.create_file(name, mode)
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Failure> {
        self.0.create_symlink(name, target)
    }

    fn create_node(&self, name: &[u8], node: Node, mode: u32) -> Result<(), Failure> {
        self.0.create_node(name, node, mode)
    }

    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Failure> {
        self.0.read_link(name)
    }

    fn link(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure> {
        self.0.link(name, &target.0, new_name)
    }

    fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure> {
        self.0.rename(name, &target.0, new_name)
    }

    fn set_entry_attributes(&self, name: &[u8], changes: &AttributeChanges) -> Result<(), Failure> {
        self.0.set_entry_attributes(name, changes)
    }

    fn copy_xattrs(
        &self,
        name: &[u8],
        original: &Self,
        original_name: &[u8],
    ) -> Result<(), Failure> {
        self.0.copy_xattrs(name, &original.0, original_name)
    }

    fn copy_own_xattrs(&self, original: &Self) -> Result<(), Failure> {
        self.0.copy_own_xattrs(&original.0)
    }

    fn clear_own_xattrs(&self) -> Result<(), Failure> {
        self.0.clear_own_xattrs()
    }

    fn same_content(&self, name: &[u8], other: &Self, other_name: &[u8]) -> Result<bool, Failure> {
        self.0.same_content(name, &other.0, other_name)
    }

    fn remove_file(&self, name: &[u8]) -> Result<(), Failure> {
        self.0.remove_file(name)
    }

    fn remove_tree(&self, name: &[u8]) -> Result<(), Failure> {
        self.0.remove_tree(name)
    }
}
