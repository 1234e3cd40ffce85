//! Walks a layer, alone or against its parent, and tells what differs.
//!
//! Changes come in byte order of whole paths, as moby sorts them: `/a`, `/a-b`, `/a/x`, because `-` is less than `/`.
//! A walk gets there without sorting: a directory is reported where its name stands, and entered only before the first
//! sibling that sorts behind `name/`. A directory that has not changed itself is reported if something below it has,
//! and before that: usually the walk can wait until it meets the first change; only where a sibling such as `a-b` comes
//! between does it look ahead, up to the first change.
//!
//! Invariant: memory grows with the depth of the tree, not with its size; handles grow with neither.

mod ahead;
pub mod compare;
mod content;
mod frame;
mod pairs;
mod visitor;

use crate::archive::name::PATH_BYTES;
use crate::error::printable;
use crate::tree::Directory;
use crate::tree::trail::Trail;
use crate::{ChangeKind, Code, Doing as _, Entry, Error, NodeKind, Result};
use frame::{Frame, Pending};
use pairs::{Pair, Pairs};
use std::ops::ControlFlow;
use std::rc::Rc;

pub use visitor::{Found, Kept, Sides, Snapshot, Visitor};

/// Walks `new` against `old`; without `old` everything is added. The top directory itself is never reported.
///
/// # Errors
/// [`Error::Host`] if a host call fails; [`Error::NotSupported`] if a path has over 64 KiB; what the
/// visitor answers.
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
        new: Some(Trail::new(new)),
        old: old.map(Trail::new),
        ordered: true,
    };
    // The top itself is never reported, so there is nothing to announce before what lies below.
    walk.enter(sparse, None)?;
    walk.run(visitor).map(drop)
}

struct Walk<'a, D: Directory> {
    sides: &'a Sides,
    wanted: &'a [String],
    path: Vec<u8>,
    stack: Vec<Frame<D>>,
    /// The directories of the stack on the new side, as far as it has them.
    new: Option<Trail<D>>,
    /// The same on the old side.
    old: Option<Trail<D>>,
    /// Whether the order of the changes matters.
    ordered: bool,
}

impl<D: Directory> Walk<'_, D> {
    /// Begins with the directory where the trails end.
    fn enter(&mut self, sparse: bool, unannounced: Option<Entry>) -> Result<()> {
        let what = || format!("list directory `{}`", printable(&self.path));
        let depth = self.stack.len();
        let new = at(&mut self.new, depth).doing(what)?;
        let old = at(&mut self.old, depth).doing(what)?;
        let whiteouts = matches!(self.sides, Sides::Upper { .. });
        // The file system told which names were touched: then neither side is listed at all.
        let named = match (self.sides, &new, &old) {
            (Sides::Views(kept), Some(new), Some(old)) => kept.names_in(&**new, &**old),
            _ => Ok(None),
        };
        let pairs = match named.doing(what)? {
            Some(names) => Pairs::named(names),
            None => Pairs::of(
                new.as_deref(),
                old.as_deref(),
                sparse,
                whiteouts,
                self.wanted,
            )
            .doing(what)?,
        };
        self.stack.push(Frame {
            new: new.is_some(),
            old: old.is_some(),
            sparse,
            pairs,
            pending: Vec::new(),
            path: self.path.len(),
            unannounced,
        });
        Ok(())
    }

    /// Leaves the last directory.
    fn leave(&mut self) {
        let Some(frame) = self.stack.pop() else {
            return;
        };
        for (trail, has) in [(&mut self.new, frame.new), (&mut self.old, frame.old)] {
            if let Some(trail) = trail.as_mut().filter(|_| has) {
                trail.leave();
            }
        }
    }

    /// The last directory on the new side.
    fn here(&mut self) -> Result<Option<Rc<D>>> {
        let depth = self.stack.len().saturating_sub(1);
        let what = || format!("open the directory of `{}`", printable(&self.path));
        at(&mut self.new, depth).doing(what)
    }

    /// The last directory on the old side.
    fn here_before(&mut self) -> Result<Option<Rc<D>>> {
        let depth = self.stack.len().saturating_sub(1);
        let what = || format!("open the directory of `{}`", printable(&self.path));
        at(&mut self.old, depth).doing(what)
    }

    fn next_pair(&mut self) -> Result<Option<Pair>> {
        let sparse = self.stack.last().is_some_and(|frame| frame.sparse);
        let named = self
            .stack
            .last()
            .is_some_and(|frame| frame.pairs.is_named());
        let here = match named {
            true => self.here()?,
            false => None,
        };
        let below = match sparse || named {
            true => self.here_before()?,
            false => None,
        };
        let Some(frame) = self.stack.last_mut() else {
            return Ok(None);
        };
        frame
            .pairs
            .advance(here.as_deref(), below.as_deref(), sparse, self.wanted)
            .doing(|| format!("list `{}`", printable(&self.path)))
    }

    fn run<V: Visitor<D>>(&mut self, visitor: &mut V) -> Result<ControlFlow<()>> {
        while let Some(frame) = self.stack.last_mut() {
            self.path.truncate(frame.path);
            // Entered only now, where `name/` sorts: `a-b` comes between `a` and `a/x`.
            if let Some(pending) = frame.due() {
                self.descend(pending)?;
                continue;
            }
            let Some(pair) = self.next_pair()? else {
                self.leave();
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(pair.name());
            // The slash in front is not part of a path in an archive.
            if self.path.len() > PATH_BYTES + 1 {
                return Err(Error::NotSupported(format!(
                    "path `{}` has over {PATH_BYTES} bytes",
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
        self.path.push(b'/');
        self.path.extend_from_slice(&pending.name);
        let new = self.here()?;
        let old = match pending.old {
            true => self.here_before()?,
            false => None,
        };
        let what = || format!("open directory `{}`", printable(&self.path));
        // A directory may vanish under the walk of a layer that a container is using.
        let new = open(new, &pending.name).doing(what)?;
        let old = open(old, &pending.name).doing(what)?;
        if new.is_none() && old.is_none() {
            return Ok(());
        }
        for (trail, opened) in [(&mut self.new, new), (&mut self.old, old)] {
            if let (Some(trail), Some(opened)) = (trail, opened) {
                trail.enter(&pending.name, opened);
            }
        }
        self.enter(pending.sparse, pending.unannounced)
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
        // One inode on both sides is shared by the two layers: nothing below it can differ.
        if !written && compare::same_node(&new, old) {
            return if is_directory {
                Ok(ControlFlow::Continue(()))
            } else {
                self.keep(&new, old, visitor)
            };
        }
        let differs = written
            || compare::differs(&new, old)
            || self.link_differs(&new, old)?
            || self.content_differs(&new, old)?;
        if differs {
            let flow = self.report(ChangeKind::Modify, Some(&new), Some(old), visitor)?;
            let both = old.attributes.kind == NodeKind::Directory;
            self.plan(new, both, None);
            return Ok(flow);
        }
        if !is_directory {
            return self.keep(&new, old, visitor);
        }
        if self.ordered && self.sibling_comes_between(&new.name) {
            // The walk cannot wait for the first change below, because the sibling must be told before it and after the
            // directory.
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
        visitor.unchanged(&Found {
            kind: ChangeKind::Modify,
            path: &self.path,
            parent: None,
            entry: Some(new),
            before: Some(old),
        })?;
        Ok(ControlFlow::Continue(()))
    }

    /// Remembers to enter a directory later.
    fn plan(&mut self, entry: Entry, old: bool, unannounced: Option<Entry>) {
        if entry.attributes.kind != NodeKind::Directory {
            return;
        }
        let opaque = self.is_opaque(&entry);
        if let Some(frame) = self.stack.last_mut() {
            // An opaque directory hides all that lies below, so what it lacks is deleted: both sides are listed again.
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
            Sides::Views(_) => false,
            Sides::Upper { opaque_xattr } => compare::is_opaque(entry, opaque_xattr),
        }
    }

    /// Reports a change, and before it the directories above that have changed by it.
    #[expect(
        clippy::indexing_slicing,
        reason = "the path of a directory begins with those of the directories above"
    )]
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
            // From the last one up: the directories above an announced one are announced as well.
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
            let found = Found {
                kind: ChangeKind::Modify,
                path: &self.path[..path],
                parent: None,
                entry: Some(&entry),
                before: None,
            };
            if visitor.change(&found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let parent = self.here()?;
        visitor.change(&Found {
            kind,
            path: &self.path,
            parent: parent.as_deref(),
            entry,
            before,
        })
    }
}

fn open<D: Directory>(parent: Option<Rc<D>>, name: &[u8]) -> Result<Option<D>, crate::Failure> {
    match parent {
        Some(parent) => parent.open_directory(name).unless(Code::NotFound),
        None => Ok(None),
    }
}

/// The last directory of a trail, if it goes as far as the walk is deep.
fn at<D: Directory>(
    trail: &mut Option<Trail<D>>,
    depth: usize,
) -> Result<Option<Rc<D>>, crate::Failure> {
    match trail.as_mut().filter(|trail| trail.depth() == depth) {
        // It may have vanished while it was closed.
        Some(trail) => trail.here().map(Some),
        None => Ok(None),
    }
}
