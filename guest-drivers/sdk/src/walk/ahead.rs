//! Looks ahead, where the order of the paths does not let a walk wait.
//!
//! Invariant: a look ahead ends at the first change, and tells no one of it.

use super::{Found, Visitor, Walk, frame, open};
use crate::error::printable;
use crate::tree::Directory;
use crate::tree::trail::Trail;
use crate::{Doing as _, Entry, Result};
use std::ops::ControlFlow;

/// Ends the look ahead at the first change.
struct First(bool);

impl<D: Directory> Visitor<D> for First {
    fn change(&mut self, _: &Found<'_, D>) -> Result<ControlFlow<()>> {
        self.0 = true;
        Ok(ControlFlow::Break(()))
    }
}

impl<D: Directory> Walk<'_, D> {
    /// Whether the next sibling sorts between the directory and what is in it.
    pub(super) fn sibling_comes_between(&self, name: &[u8]) -> bool {
        let next = self.stack.last().and_then(|frame| frame.pairs.peek_name());
        next.is_some_and(|next| !frame::is_behind(next, name))
    }

    pub(super) fn differs_below(&mut self, entry: &Entry) -> Result<bool> {
        let (new, old) = (self.here()?, self.here_before()?);
        let what = || format!("open directory `{}`", printable(&self.path));
        let new = open(new, &entry.name).doing(what)?;
        let old = open(old, &entry.name).doing(what)?;
        let sparse = self.stack.last().is_some_and(|frame| frame.sparse) && !self.is_opaque(entry);
        let mut ahead = Walk {
            sides: self.sides,
            wanted: self.wanted,
            path: self.path.clone(),
            stack: Vec::new(),
            new: new.map(Trail::new),
            old: old.map(Trail::new),
            ordered: false,
        };
        ahead.enter(sparse, None)?;
        let mut first = First(false);
        ahead.run(&mut first).map(|_| first.0)
    }
}
