//! What a walk reads, and what it tells.
//!
//! Invariant: what is told is borrowed: a walk keeps nothing for its visitor.

use crate::copies::Copies;
use crate::tree::Directory;
use crate::{Attributes, ChangeKind, Entry, Failure, Result, Timestamp};
use std::collections::BTreeMap;
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
    /// The new tree is a snapshot of the old one.
    Snapshot(Snapshot),
}

/// What is known of a snapshot and its original. A node keeps its inode number, which no other node ever gets, and the time
/// of its last change, which no process can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The device number of the new tree, without what is nested in it.
    pub new_device: u64,
    /// That of the old one.
    pub old_device: u64,
    /// When the snapshot was made: what was last changed before is the original's.
    pub made: Timestamp,
    /// The names that may differ, in byte order, by the inode numbers of their directories; none of any other. `None` if
    /// all have to be looked at.
    pub touched: Option<BTreeMap<u64, Vec<Vec<u8>>>>,
}

impl Snapshot {
    /// Whether both are one node, before and after.
    fn is_one(&self, new: &Attributes, old: &Attributes) -> bool {
        (new.device, old.device) == (self.new_device, self.old_device) && new.inode == old.inode
    }

    fn has(&self, new: &Attributes, old: &Attributes) -> bool {
        let time = |of: &Attributes| (of.changed.seconds, of.changed.nanoseconds);
        let made = (self.made.seconds, self.made.nanoseconds);
        self.is_one(new, old) && time(new) == time(old) && time(new) < made
    }
}

impl Kept {
    /// Whether both files are known to have the same content.
    #[must_use]
    pub fn has(&self, new: &Attributes, old: &Attributes) -> bool {
        match self {
            Self::Unknown => false,
            Self::Copies(copies) => copies.has(old, new),
            Self::Snapshot(snapshot) => snapshot.has(new, old),
        }
    }

    /// The names that have to be looked at in a directory of both trees; `None` for all.
    pub(super) fn names_in<D: Directory>(
        &self,
        new: &D,
        old: &D,
    ) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let Self::Snapshot(snapshot) = self else {
            return Ok(None);
        };
        let Some(touched) = &snapshot.touched else {
            return Ok(None);
        };
        let (new, old) = (new.get_attributes(&[])?, old.get_attributes(&[])?);
        let names = || {
            touched
                .get(&new.attributes.inode)
                .cloned()
                .unwrap_or_default()
        };
        let is_one = snapshot.is_one(&new.attributes, &old.attributes);
        Ok(is_one.then(names))
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
