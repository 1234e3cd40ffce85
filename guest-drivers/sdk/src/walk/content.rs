//! Looks into two nodes whose attributes are equal.
//!
//! Invariant: what is known to be untouched is not read.

use super::{Sides, Walk};
use crate::error::printable;
use crate::tree::Directory;
use crate::{Code, Doing as _, Entry, NodeKind, Result};

impl<D: Directory> Walk<'_, D> {
    /// Symbolic links with equal attributes may still differ: reproducible builds give all the same time.
    pub(super) fn link_differs(&mut self, new: &Entry, old: &Entry) -> Result<bool> {
        if new.attributes.kind != NodeKind::Symlink {
            return Ok(false);
        }
        let (Some(new_parent), Some(old_parent)) = (self.here()?, self.here_before()?) else {
            return Ok(false);
        };
        let what = || format!("read link `{}`", printable(&self.path));
        let new = new_parent
            .read_link(&new.name)
            .unless(Code::NotFound)
            .doing(what)?;
        let old = old_parent
            .read_link(&old.name)
            .unless(Code::NotFound)
            .doing(what)?;
        Ok(new != old)
    }

    /// Files of equal size and time may still differ: reproducible builds give all the same time, and tools keep times.
    pub(super) fn content_differs(&mut self, new: &Entry, old: &Entry) -> Result<bool> {
        let (now, before) = (&new.attributes, &old.attributes);
        if now.kind != NodeKind::Regular || now.size == 0 {
            return Ok(false);
        }
        if let Sides::Views(kept) = self.sides
            && kept.has(now, before)
        {
            return Ok(false);
        }
        let (Some(new_parent), Some(old_parent)) = (self.here()?, self.here_before()?) else {
            return Ok(false);
        };
        let same = new_parent
            .same_content(&new.name, &old_parent, &old.name)
            .unless(Code::NotFound)
            .doing(|| format!("compare the content of `{}`", printable(&self.path)))?;
        // One that has vanished from a layer in use has changed.
        Ok(same != Some(true))
    }
}
