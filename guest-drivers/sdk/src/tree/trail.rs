//! The directories from the top of a tree to where someone is, of any depth.
//!
//! A path of PATH_MAX has over two thousand directories, more than there are handles for one operation. So only the
//! nearest are open: one further up is closed on the way down, and opened again, by the names that lead to it, on the
//! way back. Most trees are never that deep, and cost no call more.
//!
//! Invariant: no more than [`OPEN_LEVELS`] directories are open beside the top.

use super::Directory;
use crate::{Failure, Result};
use std::rc::Rc;

/// Directories that stay open. Of those that are opened again half as many are kept, so that the way back through `n`
/// levels costs `n² / OPEN_LEVELS` calls, not `n²`.
pub const OPEN_LEVELS: usize = 64;

/// Directories, each within the one before.
#[derive(Debug)]
pub struct Trail<D> {
    top: Rc<D>,
    below: Vec<Step<D>>,
}

#[derive(Debug)]
struct Step<D> {
    name: Vec<u8>,
    directory: Option<Rc<D>>,
}

impl<D: Directory> Trail<D> {
    /// Begins at the top.
    pub fn new(top: D) -> Self {
        Self::shared(Rc::new(top))
    }

    /// Begins at a top that others hold too.
    pub fn shared(top: Rc<D>) -> Self {
        Self {
            top,
            below: Vec::new(),
        }
    }

    /// How many directories lie below the top, the last one included.
    pub fn depth(&self) -> usize {
        self.below.len()
    }

    /// The top.
    pub fn top(&self) -> &Rc<D> {
        &self.top
    }

    /// Steps into a directory of the last one.
    pub fn enter(&mut self, name: &[u8], directory: D) {
        self.below.push(Step {
            name: name.to_vec(),
            directory: Some(Rc::new(directory)),
        });
        if let Some(far) = self.below.len().checked_sub(OPEN_LEVELS + 1)
            && let Some(step) = self.below.get_mut(far)
        {
            step.directory = None;
        }
    }

    /// Steps back; stays at the top.
    pub fn leave(&mut self) {
        self.below.pop();
    }

    /// The last directory.
    ///
    /// # Errors
    /// As [`Trail::at`].
    pub fn here(&mut self) -> Result<Rc<D>, Failure> {
        self.at(self.below.len())
    }

    /// The directory at a depth; 0 is the top.
    ///
    /// # Errors
    /// What the host answers when it must be opened again: `not-found` if it has vanished.
    pub fn at(&mut self, depth: usize) -> Result<Rc<D>, Failure> {
        let Some(index) = depth.checked_sub(1) else {
            return Ok(Rc::clone(&self.top));
        };
        let open = |step: &Step<D>| step.directory.as_ref().map(Rc::clone);
        match self.below.get(index).and_then(open) {
            Some(directory) => Ok(directory),
            None => self.open_again(depth),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a depth within the trail: any other would open another directory"
    )]
    fn open_again(&mut self, depth: usize) -> Result<Rc<D>, Failure> {
        let kept = depth.saturating_sub(OPEN_LEVELS / 2);
        let steps = &mut self.below[..depth];
        let open = steps
            .iter()
            .rposition(|step| step.directory.is_some())
            .map_or(0, |index| index + 1);
        let above = open.checked_sub(1).and_then(|index| steps.get(index));
        let mut parent = above
            .and_then(|step| step.directory.as_ref())
            .map_or_else(|| Rc::clone(&self.top), Rc::clone);
        for (index, step) in steps.iter_mut().enumerate().skip(open) {
            parent = Rc::new(parent.open_directory(&step.name)?);
            if index >= kept {
                step.directory = Some(Rc::clone(&parent));
            }
        }
        Ok(parent)
    }
}
