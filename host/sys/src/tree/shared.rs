//! What a copy of a tree still shares with its original, and how it gets its own.
//!
//! A node that is shared has exactly one name in the copy: a node with several was copied when the copy was made, and
//! [`SharedFiles::own_for_link`] comes before a further name. Its other name is the original's, so a node with one name is
//! the copy's own, and a node with several is shared unless it is on the list.
//!
//! Invariant: after [`SharedFiles::own`] no change of the node of that name reaches the original.

use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;

use parking_lot::Mutex;
use rustix::fs::renameat;

use super::clone::copy_node;
use crate::Name;
use crate::node::{self, Attributes, Kind};
use crate::raw::{is, os_error};

/// Names that are tried for a node on its way into the place of another.
const MAX_TRIES: u64 = 1000;

/// Through what a directory of a copy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Through nothing, or a bind mount: nodes have their own device and inode numbers.
    Plainly,
    /// Through an overlay whose upper directory lies in the copy: nodes have the overlay's device number, and the inode
    /// numbers of its layers, which lie on one file system.
    ThroughOverlay,
}

/// The nodes that a copy shares with its original until one of them is to be changed.
#[derive(Debug)]
pub struct SharedFiles {
    device: u64,
    /// Inode numbers of nodes that have several names and are the copy's own. Their number may be another node's later
    /// on: it is then one that was made since, and the copy's own as well.
    own: Mutex<HashSet<u64>>,
}

impl SharedFiles {
    pub(super) fn new(device: u64, own: HashSet<u64>) -> Self {
        let own = Mutex::new(own);
        Self { device, own }
    }

    /// Makes the node `name` of a directory of the copy its own: a shared one is replaced by a copy with all that
    /// belongs to it, by reflink where the file system can. The directory keeps its time.
    ///
    /// # Errors
    /// ENOENT when the name does not exist; what reading and writing say.
    pub fn own(&self, dir: BorrowedFd<'_>, name: &Name, seen: Seen) -> io::Result<()> {
        let found = node::stat(dir, name)?;
        if self.is_own(&found, seen) {
            return Ok(());
        }
        replace_with_copy(dir, name)
    }

    /// As [`SharedFiles::own`], for a node that is to get a further name.
    ///
    /// # Errors
    /// As [`SharedFiles::own`].
    pub fn own_for_link(&self, dir: BorrowedFd<'_>, name: &Name, seen: Seen) -> io::Result<()> {
        self.own(dir, name, seen)?;
        let found = node::stat(dir, name)?;
        if found.kind != Kind::Directory && self.lies_here(&found, seen) {
            self.own.lock().insert(found.inode);
        }
        Ok(())
    }

    fn is_own(&self, found: &Attributes, seen: Seen) -> bool {
        found.kind == Kind::Directory
            || found.links == 1
            || !self.lies_here(found, seen)
            || self.own.lock().contains(&found.inode)
    }

    /// A hard link never leads to another file system, so nothing of another one is shared.
    fn lies_here(&self, found: &Attributes, seen: Seen) -> bool {
        seen == Seen::ThroughOverlay || found.device == self.device
    }
}

fn replace_with_copy(dir: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let before = node::stat_fd(dir)?;
    let (copy, _bytes) = under_free_name(|copy| copy_node(dir, name, dir, copy))?;
    renameat(dir, copy.as_c_str(), dir, name.as_c_str())?;
    node::set_modified_fd(dir, before.modified)
}

/// Makes something under a name that is free in its directory. What is made in part stays there if that fails: the
/// whole copy of the tree is then of no use.
pub(super) fn under_free_name<T>(
    mut make: impl FnMut(&Name) -> io::Result<T>,
) -> io::Result<(Name, T)> {
    for number in 0..MAX_TRIES {
        let name = format!(".mica-copy-{number}");
        let name = Name::new(name.as_bytes()).or(Err(os_error(libc::EINVAL)))?;
        match make(&name) {
            Err(error) if is(&error, libc::EEXIST) => {}
            made => return Ok((name, made?)),
        }
    }
    Err(os_error(libc::EEXIST))
}
