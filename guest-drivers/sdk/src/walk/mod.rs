//! Walks a layer, alone or against its parent, and tells what differs.
//!
//! Changes come in byte order of whole paths, as moby sorts them: `/a`, `/a-b`, `/a/x`, because `-` is less than `/`.
//! A walk gets there without sorting: a directory is reported where its name stands, and entered only before the first
//! sibling that sorts behind `name/`. A directory that has not changed itself is reported if something below it has,
//! and before that: usually the walk can wait until it meets the first change; only where a sibling such as `a-b` comes
//! between does it look ahead, up to the first change.
//!
//! Invariant: memory grows with the depth of the tree, not with its size.

mod ahead;
pub mod compare;
mod frame;
mod pairs;

use crate::archive::name::{DEPTH, PATH_BYTES};
use crate::error::{host, printable};
use crate::tree::Directory;
use crate::{ChangeKind, Code, Doing as _, Entry, Error, NodeKind, Result};
use frame::{Frame, Pending};
use pairs::{Pair, Pairs};
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
    /// The directory that holds it, on the new side. Absent for what is deleted below a missing directory.
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

/// Walks `new` against `old`; without `old` everything is added. The top directory itself is never reported.
///
/// # Errors
/// [`Error::Host`] if a host call fails; [`Error::NotSupported`] if the tree is deeper than 256 or a path longer than
/// 4096 bytes; what the visitor answers.
pub fn walk<D: Directory>(
    new: D,
    old: Option<D>,
    sides: &Sides,
    wanted: &[String],
    visitor: &mut impl Visitor<D>,
) -> Result<()> {
    let mut all = wanted.to_vec();
    if let Sides::Upper { opaque_xattr } = sides {
        all.push(opaque_xattr.clone());
    }
    let sparse = matches!(sides, Sides::Upper { .. });
    let mut walk = Walk {
        sides,
        wanted: &all,
        path: Vec::new(),
        stack: Vec::new(),
        depth: 0,
        ordered: true,
    };
    walk.enter(Some(new), old, sparse, None)?;
    walk.run(visitor).map(drop)
}

struct Walk<'a, D: Directory> {
    sides: &'a Sides,
    wanted: &'a [String],
    path: Vec<u8>,
    stack: Vec<Frame<D>>,
    /// Directories above the first of the stack.
    depth: usize,
    /// Whether the order of the changes matters.
    ordered: bool,
}

impl<D: Directory> Walk<'_, D> {
    fn enter(
        &mut self,
        new: Option<D>,
        old: Option<D>,
        sparse: bool,
        unannounced: Option<Entry>,
    ) -> Result<()> {
        if self.depth + self.stack.len() > DEPTH {
            return Err(Error::NotSupported(format!(
                "directory `{}` lies deeper than {DEPTH} levels",
                printable(&self.path)
            )));
        }
        let whiteouts = matches!(self.sides, Sides::Upper { .. });
        let pairs = Pairs::of(new.as_ref(), old.as_ref(), sparse, whiteouts, self.wanted)
            .doing(|| format!("list directory `{}`", printable(&self.path)))?;
        self.stack.push(Frame {
            new,
            old,
            sparse,
            pairs,
            pending: Vec::new(),
            path: self.path.len(),
            unannounced,
        });
        Ok(())
    }

    fn run<V: Visitor<D>>(&mut self, visitor: &mut V) -> Result<ControlFlow<()>> {
        while let Some(frame) = self.stack.last_mut() {
            self.path.truncate(frame.path);
            if let Some(pending) = frame.due() {
                self.descend(pending)?;
                continue;
            }
            let pair = frame
                .next_pair(self.wanted)
                .doing(|| format!("list `{}`", printable(&self.path)))?;
            let Some(pair) = pair else {
                self.stack.pop();
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(pair.name());
            if self.path.len() > PATH_BYTES {
                return Err(Error::NotSupported(format!(
                    "path `{}` is too long",
                    printable(&self.path)
                )));
            }
            if self.settle(pair, visitor)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn descend(&mut self, pending: Pending) -> Result<()> {
        let Some(frame) = self.stack.last() else {
            return Ok(());
        };
        self.path.push(b'/');
        self.path.extend_from_slice(&pending.name);
        let what = || format!("open directory `{}`", printable(&self.path));
        // A directory may vanish under the walk of a layer that a container is using.
        let new =
            open(frame.new.as_ref(), &pending.name).map_err(|failure| host(what(), failure))?;
        let old = match pending.old {
            true => {
                open(frame.old.as_ref(), &pending.name).map_err(|failure| host(what(), failure))?
            }
            false => None,
        };
        if new.is_some() || old.is_some() {
            self.enter(new, old, pending.sparse, pending.unannounced)?;
        }
        Ok(())
    }

    /// Tells what became of one name.
    fn settle<V: Visitor<D>>(&mut self, pair: Pair, visitor: &mut V) -> Result<ControlFlow<()>> {
        match pair {
            Pair { new: None, old } => self.report(ChangeKind::Delete, None, old.as_ref(), visitor),
            Pair {
                new: Some(new),
                old: None,
            } => {
                let flow = self.report(ChangeKind::Add, Some(&new), None, visitor)?;
                self.plan(new, false, None);
                Ok(flow)
            }
            Pair {
                new: Some(new),
                old: Some(old),
            } => self.settle_both(new, &old, visitor),
        }
    }

    fn settle_both<V: Visitor<D>>(
        &mut self,
        new: Entry,
        old: &Entry,
        visitor: &mut V,
    ) -> Result<ControlFlow<()>> {
        let is_directory = new.attributes.kind == NodeKind::Directory;
        // What is in an upper was written to. A comparison could miss that: content can change and keep size and time.
        let written = matches!(self.sides, Sides::Upper { .. });
        if !written && compare::same_node(&new, old) {
            return if is_directory {
                Ok(ControlFlow::Continue(()))
            } else {
                self.keep(&new, old, visitor)
            };
        }
        if written || compare::differs(&new, old) || self.link_differs(&new, old)? {
            let flow = self.report(ChangeKind::Modify, Some(&new), Some(old), visitor)?;
            let both = old.attributes.kind == NodeKind::Directory;
            self.plan(new, both, None);
            return Ok(flow);
        }
        if !is_directory {
            return self.keep(&new, old, visitor);
        }
        if self.ordered && self.sibling_comes_between(&new.name) {
            if self.differs_below(&new)? {
                let flow = self.report(ChangeKind::Modify, Some(&new), Some(old), visitor)?;
                self.plan(new, true, None);
                return Ok(flow);
            }
            if !V::HEEDS_UNCHANGED {
                return Ok(ControlFlow::Continue(()));
            }
        }
        let unannounced = new.clone();
        self.plan(new, true, Some(unannounced));
        Ok(ControlFlow::Continue(()))
    }

    fn keep(
        &mut self,
        new: &Entry,
        old: &Entry,
        visitor: &mut impl Visitor<D>,
    ) -> Result<ControlFlow<()>> {
        if let Some(frame) = self.stack.last() {
            visitor.unchanged(&Found {
                kind: ChangeKind::Modify,
                path: &self.path,
                parent: frame.new.as_ref(),
                entry: Some(new),
                before: Some(old),
            })?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Remembers to enter a directory later.
    fn plan(&mut self, entry: Entry, old: bool, unannounced: Option<Entry>) {
        if entry.attributes.kind != NodeKind::Directory {
            return;
        }
        let opaque = self.is_opaque(&entry);
        if let Some(frame) = self.stack.last_mut() {
            let sparse = frame.sparse && !opaque;
            frame.pending.push(Pending {
                name: entry.name,
                old,
                sparse,
                unannounced,
            });
        }
    }

    fn is_opaque(&self, entry: &Entry) -> bool {
        match self.sides {
            Sides::Views => false,
            Sides::Upper { opaque_xattr } => compare::is_opaque(entry, opaque_xattr),
        }
    }

    /// Reports a change, and before it the directories above that have changed by it.
    fn report(
        &mut self,
        kind: ChangeKind,
        entry: Option<&Entry>,
        before: Option<&Entry>,
        visitor: &mut impl Visitor<D>,
    ) -> Result<ControlFlow<()>> {
        let quiet = self
            .stack
            .iter()
            .rev()
            .take_while(|frame| frame.unannounced.is_some())
            .count();
        for index in self.stack.len() - quiet..self.stack.len() {
            let Some((path, entry)) = self
                .stack
                .get_mut(index)
                .and_then(|frame| frame.unannounced.take().map(|entry| (frame.path, entry)))
            else {
                continue;
            };
            let parent = index
                .checked_sub(1)
                .and_then(|above| self.stack.get(above))
                .and_then(|above| above.new.as_ref());
            let found = Found {
                kind: ChangeKind::Modify,
                path: self.path.get(..path).unwrap_or_default(),
                parent,
                entry: Some(&entry),
                before: None,
            };
            if visitor.change(&found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        visitor.change(&Found {
            kind,
            path: &self.path,
            parent: self.stack.last().and_then(|frame| frame.new.as_ref()),
            entry,
            before,
        })
    }

    /// Symbolic links with equal attributes may still differ: reproducible builds give all the same time.
    fn link_differs(&self, new: &Entry, old: &Entry) -> Result<bool> {
        if new.attributes.kind != NodeKind::Symlink {
            return Ok(false);
        }
        let Some(Frame {
            new: Some(new_parent),
            old: Some(old_parent),
            ..
        }) = self.stack.last()
        else {
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
}

fn open<D: Directory>(parent: Option<&D>, name: &[u8]) -> Result<Option<D>, crate::Failure> {
    match parent {
        Some(parent) => parent.open_directory(name).unless(Code::NotFound),
        None => Ok(None),
    }
}
