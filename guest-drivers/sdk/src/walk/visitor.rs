//! What a walk reads, and what it tells.
//!
//! Invariant: what is told is borrowed: a walk keeps nothing for its visitor.

use crate::tree::Directory;
use crate::{ChangeKind, Entry, Result};
use std::ops::ControlFlow;

/// How the two sides are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Two complete trees.
    Views,
    /// The first is the upper directory of an overlay, the second, if there is one, all that lies below: everything in
    /// the upper is a change. The text names the extended attribute that marks opaque directories.
    Upper {
        /// `trusted.overlay.opaque`, or what the host says.
        opaque_xattr: String,
    },
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
