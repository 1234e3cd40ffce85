//! What a walk reads, and what it tells.
//!
//! Invariant: what is told is borrowed: a walk keeps nothing for its visitor.

use crate::copies::Copies;
use crate::tree::Directory;
use crate::{Attributes, ChangeKind, Entry, Result};
use std::ops::ControlFlow;

/// How the two sides are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Two complete trees.
    Views(Kept),
    /// The first is the upper directory of an overlay, the second, if there is one, all that lies below: everything in
    /// the upper is a change. The text names the extended attribute that marks opaque directories.
    Upper {
        /// `trusted.overlay.opaque`, or what the host says.
        opaque_xattr: String,
    },
}

/// What shows, without reading them, that two files of one path, size and time have the same content. Where it shows
/// nothing, they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing does.
    Unknown,
    /// The new tree is a copy of the old one, with a list of its files.
    Copies(Copies),
    /// The new tree is a snapshot of the old one: a node keeps its inode number, which no other node ever gets, and the
    /// time of its last change, which no process can set.
    Snapshot {
        /// The device number of the new tree, without what is mounted or nested in it.
        new_device: u64,
        /// That of the old one.
        old_device: u64,
    },
}

impl Kept {
    /// Whether both files are known to have the same content.
    #[must_use]
    pub fn has(&self, new: &Attributes, old: &Attributes) -> bool {
        match self {
            Self::Unknown => false,
            Self::Copies(copies) => copies.has(old, new),
            Self::Snapshot {
                new_device,
                old_device,
            } => {
                (new.device, old.device) == (*new_device, *old_device)
                    && (new.inode, new.changed) == (old.inode, old.changed)
            }
        }
    }
}

/// Something that a walk met.
#[derive(Debug)]
pub struct Found<'a, D> {
    /// What became of it.
    pub kind: ChangeKind,
    /// Its path: begins with a slash.
    pub path: &'a [u8],
    /// The directory that holds it, on the new side. Absent for what is deleted below a missing directory, and for a
    /// directory that is told because of what lies below it.
    pub parent: Option<&'a D>,
    /// The node on the new side; absent if it was deleted.
    pub entry: Option<&'a Entry>,
    /// What was there before, if a walk against a parent knows it.
    pub before: Option<&'a Entry>,
}

/// What is told of a walk.
pub trait Visitor<D: Directory> {
    /// Whether `unchanged` does something.
    const HEEDS_UNCHANGED: bool = false;

    /// Called for every change, in byte order of the paths.
    ///
    /// # Errors
    /// Whatever the visitor does; the walk ends with it.
    fn change(&mut self, found: &Found<'_, D>) -> Result<ControlFlow<()>>;

    /// Called for everything but directories that has not changed.
    ///
    /// # Errors
    /// Whatever the visitor does; the walk ends with it.
    fn unchanged(&mut self, found: &Found<'_, D>) -> Result<()> {
        let _ = found;
        Ok(())
    }
}
