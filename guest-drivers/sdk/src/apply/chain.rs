//! The directories from the top of the layer to where the archive is.
//!
//! Symbolic links on the way are followed as in a chroot, by reading them: the host never follows one. Those that the
//! archive has not brought wait, see [`super::waiting`]. The chain keeps directories open between entries, since most
//! entries of an archive lie where the one before did.
//!
//! Invariant: a directory gets its time when it is left, after all that happens in it: that of its own entry, or else
//! the one that it had.

use super::attributes::{self, its_time};
use super::level::Level;
use super::seen::{PathHash, Seen, TOP, hash};
use super::target::Target;
use super::waiting::Waiting;
use super::way::{IMPLIED_MODE, MAX_SYMLINKS, Missing, Obstacle, Step, Way, is_missing, steps};
use crate::error::printable;
use crate::left_out::LeftOut;
use crate::tree::trail::Trail;
use crate::{AttributeChanges, Code, Failure, Result};
use std::collections::VecDeque;
use std::rc::Rc;

/// Directories, each within the one before.
pub(super) struct Chain<T> {
    trail: Trail<T>,
    top: Level,
    below: Vec<Level>,
    /// How many of `below` lead to where the archive is; those behind are kept for what comes next.
    depth: usize,
    pub(super) seen: Seen,
    /// The directories that an entry describes; others of `seen` are only on the way to something.
    pub(super) described: Seen,
    pub(super) waiting: Waiting,
    /// Attributes of directories that the file system refused.
    left_out: LeftOut,
    failed: Option<Obstacle>,
}

impl<T: Target> Chain<T> {
    /// Begins at the top of a layer.
    pub(super) fn new(root: T) -> Self {
        Self {
            trail: Trail::new(root),
            top: Level {
                brought: true,
                ..Level::new(b"", TOP, None, false)
            },
            below: Vec::new(),
            depth: 0,
            seen: Seen::default(),
            described: Seen::default(),
            waiting: Waiting::default(),
            left_out: LeftOut::default(),
            failed: None,
        }
    }

    /// The directory where the archive is.
    pub(super) fn here(&mut self) -> Result<Rc<T>, Failure> {
        self.trail.at(self.depth)
    }

    /// The layer's top directory.
    pub(super) fn root(&self) -> &Rc<T> {
        self.trail.top()
    }

    /// Goes to a directory.
    pub(super) fn go<P: AsRef<[u8]>>(
        &mut self,
        parts: &[P],
        missing: Missing,
    ) -> Result<Way, Obstacle> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut way: VecDeque<Vec<u8>> = parts.iter().map(|part| part.as_ref().to_vec()).collect();
        let mut links = 0;
        self.depth = 0;
        while let Some(part) = way.pop_front() {
            if part == b".." {
                self.depth = self.depth.saturating_sub(1);
                continue;
            }
            let known = self.below.get(self.depth);
            if known.is_some_and(|level| level.name == part) {
                self.depth += 1;
            } else {
                self.close_behind()?;
                match self.step(&part, missing, &way)? {
                    Step::In => {}
                    Step::Turn => {
                        links += 1;
                        self.turn(&part, &mut way, links)?;
                    }
                    Step::Stop => return Ok(Way::Nowhere),
                    Step::Wait(link) => return Ok(Way::Waits(link, way.into())),
                }
            }
            if let Some(link) = self.level().behind
                && missing == Missing::Stop
            {
                return Ok(Way::Waits(link, self.rest_behind(link, way)));
            }
        }
        self.close_behind()?;
        Ok(Way::There)
    }

    /// Steps into a directory, or says what to do instead.
    fn step(
        &mut self,
        part: &[u8],
        missing: Missing,
        way: &VecDeque<Vec<u8>>,
    ) -> Result<Step, Obstacle> {
        let here = self.open_here(part)?;
        match here.open_directory(part) {
            Ok(directory) => {
                self.push(part, directory, false);
                Ok(Step::In)
            }
            // A `..` behind the link means what is above its target, which the place where it waits cannot show.
            Err(failure) if failure.code == Code::Symlink => {
                if !self.must_wait(part) || way.iter().any(|next| next == b"..") {
                    return Ok(Step::Turn);
                }
                let link = self.waits(part);
                if missing == Missing::Stop {
                    return Ok(Step::Wait(link));
                }
                self.step_behind(part, link)?;
                Ok(Step::In)
            }
            Err(failure) if is_missing(failure.code) && missing == Missing::Stop => Ok(Step::Stop),
            Err(failure) if is_missing(failure.code) => {
                let at = self.hash_of(part);
                if failure.code != Code::NotFound && self.seen.contains(at) {
                    return Err(Obstacle::Archive(format!(
                        "`{}` above it is no directory, by an entry of this archive",
                        printable(part)
                    )));
                }
                self.imply(part)?;
                Ok(Step::In)
            }
            Err(failure) => Err(self.obstacle("open directory", part, failure)),
        }
    }

    /// Whether a symbolic link's fate is not known yet: it is one of the layers below, or lies where things wait.
    fn must_wait(&self, part: &[u8]) -> bool {
        let at = self.hash_of(part);
        let unsettled = self.level().behind.is_some() || !self.seen.contains(at);
        !self.waiting.is_over() && (unsettled || self.waiting.get(at).is_some())
    }

    /// Notes that a link waits.
    fn waits(&mut self, part: &[u8]) -> PathHash {
        let at = self.hash_of(part);
        if self.waiting.get(at).is_none() {
            let path = self.path().chain([part]).map(<[u8]>::to_vec).collect();
            self.waiting.add(at, path);
        }
        at
    }

    /// Steps to where things are put that lie behind a link that waits.
    fn step_behind(&mut self, part: &[u8], link: PathHash) -> Result<(), Obstacle> {
        self.touch_top()
            .map_err(|failure| self.obstacle("read the directory of", part, failure))?;
        let root = Rc::clone(self.root());
        let place = self.waiting.place(&*root, link);
        let place = place.map_err(|failure| self.obstacle("put aside", part, failure))?;
        self.push(part, place, false);
        self.level_mut().behind = Some(link);
        Ok(())
    }

    /// The names that lead on from a link that waits.
    #[expect(clippy::indexing_slicing, reason = "`depth` is within `below`")]
    fn rest_behind(&self, link: PathHash, way: VecDeque<Vec<u8>>) -> Vec<Vec<u8>> {
        let levels = &self.below[..self.depth];
        let inside = levels
            .iter()
            .filter(|level| level.behind == Some(link) && level.hash != link);
        inside.map(|level| level.name.clone()).chain(way).collect()
    }

    /// The link that the current directory waits behind, and the names that lead on from it.
    pub(super) fn behind(&self) -> Option<(PathHash, Vec<Vec<u8>>)> {
        let link = self.level().behind?;
        Some((link, self.rest_behind(link, VecDeque::new())))
    }

    /// Follows a symbolic link.
    fn turn(
        &mut self,
        part: &[u8],
        way: &mut VecDeque<Vec<u8>>,
        links: usize,
    ) -> Result<(), Obstacle> {
        if links > MAX_SYMLINKS {
            return Err(Obstacle::Archive(format!(
                "over {MAX_SYMLINKS} symbolic links lead to it"
            )));
        }
        let target = self.open_here(part)?.read_link(part);
        let target = target.map_err(|failure| self.obstacle("read link", part, failure))?;
        if target.starts_with(b"/") {
            self.depth = 0;
        }
        for step in steps(&target).rev() {
            way.push_front(step.to_vec());
        }
        Ok(())
    }

    /// Makes a directory that no entry describes.
    fn imply(&mut self, part: &[u8]) -> Result<(), Obstacle> {
        self.touch()
            .map_err(|failure| self.obstacle("read the directory of", part, failure))?;
        let made = self.open_here(part)?.renew_directory(part, IMPLIED_MODE);
        let directory = made.map_err(|failure| self.obstacle("make directory", part, failure))?;
        self.saw(part).map_err(Obstacle::Archive)?;
        self.push(part, directory, true);
        Ok(())
    }

    fn open_here(&mut self, part: &[u8]) -> Result<Rc<T>, Obstacle> {
        let here = self.here();
        here.map_err(|failure| self.obstacle("open the directory of", part, failure))
    }

    fn obstacle(&self, doing: &str, part: &[u8], failure: Failure) -> Obstacle {
        Obstacle::Host(format!("{doing} `{}`", printable(part)), failure)
    }

    /// Steps into a directory of the current one, which was made here if it `is_new`.
    pub(super) fn push(&mut self, name: &[u8], directory: T, is_new: bool) {
        self.forget_path();
        let above = self.level();
        let hash = hash(above.hash, name);
        let level = Level::new(name, hash, above.behind, is_new);
        self.below.push(level);
        self.trail.enter(name, directory);
        self.depth += 1;
    }

    /// Steps back, but keeps the directory.
    pub(super) fn rest_at_parent(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Says what to set on the current directory when it is left.
    pub(super) fn at_close(&mut self, changes: AttributeChanges) {
        self.level_mut().at_close = Some(changes);
    }

    /// To be called before something changes in the current directory: it keeps its time.
    pub(super) fn touch(&mut self) -> Result<(), Failure> {
        if self.level().at_close.is_none() {
            let changes = its_time(&*self.here()?)?;
            self.at_close(changes);
        }
        Ok(())
    }

    fn touch_top(&mut self) -> Result<(), Failure> {
        if self.top.at_close.is_none() {
            self.top.at_close = Some(its_time(&**self.root())?);
        }
        Ok(())
    }

    /// Notes that the archive has brought a name of the current directory, and so the directories that lead there.
    pub(super) fn saw(&mut self, name: &[u8]) -> Result<(), String> {
        for level in self.below.iter_mut().take(self.depth) {
            if !std::mem::replace(&mut level.brought, true) {
                self.seen.insert(level.hash)?;
            }
        }
        let hash = self.hash_of(name);
        self.seen.insert(hash)
    }

    /// Notes that an entry describes the directory of this name.
    pub(super) fn describe(&mut self, name: &[u8]) -> Result<(), String> {
        let at = self.hash_of(name);
        self.described.insert(at)
    }

    /// The hash of a name of the current directory.
    pub(super) fn hash_of(&self, name: &[u8]) -> PathHash {
        hash(self.level().hash, name)
    }

    /// The current directory's hash.
    pub(super) fn hash(&self) -> PathHash {
        self.level().hash
    }

    fn path(&self) -> impl Iterator<Item = &[u8]> {
        let levels = self.below.iter().take(self.depth);
        levels.map(|level| level.name.as_slice())
    }

    /// Leaves the directories below the current one: their names may mean something else now.
    pub(super) fn forget_path(&mut self) {
        if let Err(obstacle) = self.close_behind() {
            self.failed.get_or_insert(obstacle);
        }
    }

    /// Leaves all directories; answers which attributes of them were left out.
    pub(super) fn close(mut self) -> Result<LeftOut> {
        self.depth = 0;
        let root = Rc::clone(self.root());
        let top = Level {
            at_close: self.top.at_close.take(),
            ..Level::new(b".", TOP, None, false)
        };
        let closed = self.close_behind();
        let closed = closed.and_then(|()| self.leave(top, &*root));
        let closed = self.failed.take().map_or(closed, Err);
        closed.map(|()| self.left_out).map_err(Obstacle::unnamed)
    }

    /// Puts what still waits where its links lead.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.settle_waiting().map_err(Obstacle::unnamed)
    }

    fn close_behind(&mut self) -> Result<(), Obstacle> {
        while self.below.len() > self.depth {
            let Some(level) = self.below.pop() else { break };
            if level.at_close.is_some() {
                let directory = self.trail.here();
                let directory =
                    directory.map_err(|failure| self.obstacle("open", &level.name, failure))?;
                self.leave(level, &*directory)?;
            }
            self.trail.leave();
        }
        Ok(())
    }

    /// Sets what waited for the end of the work in a directory.
    fn leave(&mut self, level: Level, directory: &T) -> Result<(), Obstacle> {
        let name = level.name.as_slice();
        let Some(changes) = level.at_close else {
            return Ok(());
        };
        let set = match level.is_new {
            true => attributes::set(&changes, |changes| directory.set_attributes(changes)),
            false => attributes::set_of_directory(&changes, directory),
        };
        let doing = || format!("set attributes of directory `{}`", printable(name));
        let refused = set.map_err(|failure| Obstacle::Host(doing(), failure))?;
        if !refused.is_empty() {
            let above = self.below.iter().map(|level| level.name.as_slice());
            let path = above.chain([name]).collect::<Vec<_>>().join(&b'/');
            for attribute in &refused {
                self.left_out.attribute(&path, attribute);
            }
        }
        Ok(())
    }

    fn level(&self) -> &Level {
        self.depth
            .checked_sub(1)
            .and_then(|index| self.below.get(index))
            .unwrap_or(&self.top)
    }

    fn level_mut(&mut self) -> &mut Level {
        match self.depth.checked_sub(1) {
            Some(index) if index < self.below.len() => {
                self.below.get_mut(index).unwrap_or(&mut self.top)
            }
            _ => &mut self.top,
        }
    }
}
