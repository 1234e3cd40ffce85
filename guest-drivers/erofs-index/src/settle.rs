//! What the layers below decide: attributes of directories that no member describes, and which deletions delete anything.
//!
//! A member may lie in a directory that the archive does not describe. Overlayfs shows such a directory with the
//! attributes of the uppermost layer that has it, so the index must have those of the layers below. A deletion of what
//! is not there leaves nothing, and what it lies in is not made for it.
//!
//! Invariant: what the archive brings stays, whether it came before or after a deletion of its name.

use crate::holds::check;
use crate::place::Index;
use crate::tree::{Attributes, Content, Id, Kind, Node, TOP, Tree, Unfit, Xattr};
use alloc::vec::Vec;

/// The mark of a directory that hides the same directory of the layers below.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// The mark of a directory that has deletions.
const ORIGIN: &[u8] = b"trusted.overlay.origin";

/// What the layers below have at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or something that is no directory lies above it.
    Nothing,
    /// A directory.
    Directory(Attributes),
    /// A symbolic link.
    Symlink,
    /// Something else.
    Other,
}

/// The layers below, as one tree.
pub trait Below {
    /// Why a look failed.
    type Error;
    /// Says what has a path, without following any symbolic link.
    ///
    /// # Errors
    /// What keeps it from looking.
    fn look(&mut self, path: &[&[u8]]) -> Result<Found, Self::Error>;
}

/// Why a tree could not be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled<E> {
    /// The archive cannot become an index.
    Unfit(Unfit),
    /// The layers below could not be looked at.
    Below(E),
}

impl<E> From<Unfit> for Unsettled<E> {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

/// A directory on the way.
struct Step {
    id: Id,
    above: Id,
    depth: usize,
    name: Vec<u8>,
    /// Whether nothing of the layers below can be in it, and in the directory that it lies in.
    is_covered: bool,
    is_covered_above: bool,
    /// Whether all below it is done.
    is_left: bool,
}

impl Tree {
    /// Decides what depends on the layers below; without any, `below` is `None`.
    ///
    /// # Errors
    /// [`Unsettled`].
    pub fn settle<B: Below>(mut self, mut below: Option<B>) -> Result<Index, Unsettled<B::Error>> {
        let mut path: Vec<Vec<u8>> = Vec::new();
        let mut todo = Vec::new();
        todo.push(Step {
            id: TOP,
            above: TOP,
            depth: 0,
            name: Vec::new(),
            is_covered: below.is_none(),
            is_covered_above: true,
            is_left: false,
        });
        if below.is_some() && self.directory(TOP).is_some_and(|top| top.is_opaque) {
            return Err(Unfit::OpaqueTop.into());
        }
        while let Some(step) = todo.pop() {
            if step.is_left {
                self.leave(&step);
                continue;
            }
            path.truncate(step.depth.saturating_sub(1));
            if step.depth > 0 {
                path.push(step.name.clone());
            }
            let look = below.as_mut().filter(|_| !step.is_covered);
            let Some(is_covered) = self.enter(&step, &path, look)? else {
                continue;
            };
            let hidden = self.hide_names(step.id, &path, below.as_mut(), is_covered)?;
            let (id, depth) = (step.id, step.depth + 1);
            todo.push(Step {
                is_left: true,
                ..step
            });
            let children = self.directory(id).map(|directory| &directory.children);
            for (name, child) in children.into_iter().flatten() {
                if self.directory(*child).is_some() {
                    todo.push(Step {
                        id: *child,
                        above: id,
                        depth,
                        name: name.clone(),
                        is_covered: is_covered || hidden.contains(name),
                        is_covered_above: is_covered,
                        is_left: false,
                    });
                }
            }
        }
        Ok(Index::place(self)?)
    }

    /// Gives a directory its attributes. Answers whether nothing of the layers below is in it, or `None` for one that is not
    /// to be.
    fn enter<B: Below>(
        &mut self,
        step: &Step,
        path: &[Vec<u8>],
        below: Option<&mut B>,
    ) -> Result<Option<bool>, Unsettled<B::Error>> {
        let Some(directory) = self.directory(step.id) else {
            return Ok(None);
        };
        let (is_described, is_brought) = (directory.is_described, directory.is_brought);
        let is_opaque = directory.is_opaque;
        let Some(below) = below else {
            if !is_brought && !is_opaque {
                self.forget(step);
                return Ok(None);
            }
            // There is nothing that an opaque directory could hide, unless the deletion of its own name has made it so.
            return Ok(Some(true));
        };
        if is_described {
            return Ok(Some(is_opaque));
        }
        match look(below, path)? {
            Found::Directory(attributes) => {
                check(&attributes)?;
                *self.attributes_mut(step.id) = attributes;
                Ok(Some(is_opaque))
            }
            // What lies behind a link of the layers below may belong into its target; only directories are opaque.
            Found::Symlink if !is_opaque => Err(Unfit::BehindNoDirectory.into()),
            _ if is_brought || is_opaque => Ok(Some(true)),
            _ => {
                self.forget(step);
                Ok(None)
            }
        }
    }

    /// Makes deletions of names that the layers below have; answers the names of directories that hide what was there.
    fn hide_names<B: Below>(
        &mut self,
        id: Id,
        path: &[Vec<u8>],
        mut below: Option<&mut B>,
        is_covered: bool,
    ) -> Result<Vec<Vec<u8>>, Unsettled<B::Error>> {
        let Some(directory) = self.directory_mut(id) else {
            return Ok(Vec::new());
        };
        let mut covered = Vec::new();
        for name in core::mem::take(&mut directory.hidden) {
            if let Some(child) = self.child(id, &name) {
                match self.directory_mut(child) {
                    Some(child) if child.is_brought => {
                        child.is_opaque = true;
                        covered.push(name);
                        continue;
                    }
                    None => continue,
                    // Only deletions lie in it, and all of it is deleted.
                    Some(_) => {}
                }
                if let Some(directory) = self.directory_mut(id) {
                    directory.children.remove(&name);
                }
            }
            let Some(below) = below.as_deref_mut().filter(|_| !is_covered) else {
                continue;
            };
            let mut at = path.to_vec();
            at.push(name.clone());
            if look(below, &at)? != Found::Nothing {
                self.whiteout(id, name);
            }
        }
        Ok(covered)
    }

    fn whiteout(&mut self, above: Id, name: Vec<u8>) {
        let attributes = Attributes::default();
        let kind = Kind::Other(Content::CharacterDevice(0, 0));
        let id = self.push(Node { attributes, kind });
        if let Some(directory) = self.directory_mut(above) {
            directory.children.insert(name, id);
        }
        mark(&mut self.nodes, above, ORIGIN, b"");
    }

    /// Marks a directory, or takes one away that turned out to be empty.
    fn leave(&mut self, step: &Step) {
        let Some(directory) = self.directory(step.id) else {
            return;
        };
        if !directory.is_brought && !directory.is_opaque && directory.children.is_empty() {
            self.forget(step);
        } else if directory.is_opaque && !step.is_covered_above {
            mark(&mut self.nodes, step.id, OPAQUE, b"y");
        }
    }

    fn forget(&mut self, step: &Step) {
        if let Some(directory) = self.directory_mut(step.above) {
            directory.children.remove(&step.name);
        }
    }
}

fn look<B: Below>(below: &mut B, path: &[Vec<u8>]) -> Result<Found, Unsettled<B::Error>> {
    let parts: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
    below.look(&parts).map_err(Unsettled::Below)
}

/// Gives a node an extended attribute of overlayfs, unless it has it.
fn mark(nodes: &mut [Node], id: Id, name: &[u8], value: &[u8]) {
    let Some(node) = nodes.get_mut(id) else {
        return;
    };
    let xattrs = &mut node.attributes.xattrs;
    if xattrs.iter().all(|xattr| xattr.name != name) {
        xattrs.push(Xattr {
            name: name.to_vec(),
            value: value.to_vec(),
        });
    }
}
