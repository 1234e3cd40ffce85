//! The directories from the top of the layer to where the archive is.
//!
//! Symbolic links on the way are followed as in a chroot, by reading them: the host never follows one. The chain keeps
//! directories open between entries, since most entries of an archive lie where the one before did.
//!
//! Invariant: a directory gets its time when it is left, after all that happens in it: that of its own entry, or else
//! the one that it had.

use super::attributes;
use super::seen::{PathHash, Seen, TOP, hash};
use super::target::Target;
use crate::archive::name::DEPTH;
use crate::archive::reader::Reader;
use crate::error::{host, printable};
use crate::tree::Source;
use crate::{AttributeChanges, Code, Error, Failure, Result};
use std::collections::VecDeque;

/// Symbolic links on one way: the kernel's limit.
const LINKS: usize = 40;
/// What directories have that no entry describes.
const IMPLIED_MODE: u32 = 0o755;

/// What to do about a directory that is missing on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it.
    Create,
    /// Go no further.
    Stop,
}

/// Why a way leads nowhere.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// The archive is wrong.
    Archive(String),
    /// A host call failed.
    Host(String, Failure),
}

impl Obstacle {
    /// The error, which names the entry that is being read.
    pub(super) fn named<S: Source>(self, reader: &Reader<S>) -> Error {
        match self {
            Self::Archive(what) => reader.invalid(what),
            Self::Host(doing, failure) => host(doing, failure),
        }
    }
}

struct Level<T> {
    name: Vec<u8>,
    hash: PathHash,
    /// Whether the archive is known to have brought something in it.
    brought: bool,
    directory: T,
    at_close: Option<AttributeChanges>,
}

/// Open directories, each within the one before.
pub(super) struct Chain<T> {
    top: Level<T>,
    below: Vec<Level<T>>,
    /// How many of `below` lead to where the archive is; those behind are kept open for what comes next.
    depth: usize,
    seen: Seen,
    failed: Option<Obstacle>,
}

impl<T: Target> Chain<T> {
    /// Begins at the top of a layer.
    pub(super) fn new(root: T) -> Self {
        let top = Level {
            name: Vec::new(),
            hash: TOP,
            brought: true,
            directory: root,
            at_close: None,
        };
        Self {
            top,
            below: Vec::new(),
            depth: 0,
            seen: Seen::default(),
            failed: None,
        }
    }

    /// The directory where the archive is.
    pub(super) fn top(&self) -> &T {
        &self.level().directory
    }

    /// Goes to a directory. Answers whether it is there.
    pub(super) fn go(&mut self, parts: &[&[u8]], missing: Missing) -> Result<bool, Obstacle> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut way: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        let mut links = 0;
        self.depth = 0;
        while let Some(part) = way.pop_front() {
            if part == b".." {
                self.depth = self.depth.saturating_sub(1);
                continue;
            }
            if self
                .below
                .get(self.depth)
                .is_some_and(|level| level.name == part)
            {
                self.depth += 1;
                continue;
            }
            self.close_behind()?;
            match self.top().open_directory(&part) {
                Ok(directory) => self.push(&part, directory),
                Err(failure) if failure.code == Code::Symlink => {
                    links += 1;
                    self.turn(&part, &mut way, links)?;
                }
                Err(failure) if failure.code == Code::NotFound && missing == Missing::Stop => {
                    return Ok(false);
                }
                Err(failure) if failure.code == Code::NotFound => self.imply(&part)?,
                Err(failure) if matches!(failure.code, Code::NotADirectory | Code::Invalid) => {
                    return Err(Obstacle::Archive(format!(
                        "`{}` above it is no directory",
                        printable(&part)
                    )));
                }
                Err(failure) => return Err(self.obstacle("open directory", &part, failure)),
            }
            if self.depth > DEPTH {
                return Err(Obstacle::Archive(format!(
                    "it lies deeper than {DEPTH} levels"
                )));
            }
        }
        self.close_behind()?;
        Ok(true)
    }

    /// Follows a symbolic link.
    fn turn(
        &mut self,
        part: &[u8],
        way: &mut VecDeque<Vec<u8>>,
        links: usize,
    ) -> Result<(), Obstacle> {
        if links > LINKS {
            return Err(Obstacle::Archive(format!(
                "over {LINKS} symbolic links lead to it"
            )));
        }
        let target = self
            .top()
            .read_link(part)
            .map_err(|failure| self.obstacle("read link", part, failure))?;
        if target.starts_with(b"/") {
            self.depth = 0;
        }
        for step in target
            .split(|byte| *byte == b'/')
            .rev()
            .filter(|step| !matches!(*step, b"" | b"."))
        {
            way.push_front(step.to_vec());
        }
        Ok(())
    }

    /// Makes a directory that no entry describes.
    fn imply(&mut self, part: &[u8]) -> Result<(), Obstacle> {
        self.touch()
            .map_err(|failure| self.obstacle("read the directory of", part, failure))?;
        let made = self.top().renew_directory(part, IMPLIED_MODE);
        let directory = made.map_err(|failure| self.obstacle("make directory", part, failure))?;
        self.saw(part).map_err(Obstacle::Archive)?;
        self.push(part, directory);
        Ok(())
    }

    fn obstacle(&self, doing: &str, part: &[u8], failure: Failure) -> Obstacle {
        Obstacle::Host(format!("{doing} `{}`", printable(part)), failure)
    }

    /// Steps into a directory of the current one.
    pub(super) fn push(&mut self, name: &[u8], directory: T) {
        self.forget_path();
        let hash = hash(self.level().hash, name);
        self.below.push(Level {
            name: name.to_vec(),
            hash,
            brought: false,
            directory,
            at_close: None,
        });
        self.depth += 1;
    }

    /// Steps back, but keeps the directory open.
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
            let modified = self.top().get_attributes(&[])?.attributes.modified;
            let changes = AttributeChanges {
                owner: None,
                mode: None,
                modified: Some(modified),
                xattrs: Vec::new(),
            };
            self.at_close(changes);
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
        let hash = hash(self.level().hash, name);
        self.seen.insert(hash)
    }

    /// The current directory's hash, and what the archive has brought.
    pub(super) fn seen(&self) -> (PathHash, &Seen) {
        (self.level().hash, &self.seen)
    }

    /// Leaves the directories below the current one: their names may mean something else now.
    pub(super) fn forget_path(&mut self) {
        if let Err(obstacle) = self.close_behind() {
            self.failed.get_or_insert(obstacle);
        }
    }

    /// Leaves all directories.
    pub(super) fn close(mut self) -> Result<()> {
        self.depth = 0;
        let closed = self.close_behind().and_then(|()| leave(&self.top));
        match self.failed.map_or(closed, Err) {
            Ok(()) => Ok(()),
            Err(Obstacle::Host(doing, failure)) => Err(host(doing, failure)),
            Err(Obstacle::Archive(what)) => Err(Error::InvalidArchive(what)),
        }
    }

    fn close_behind(&mut self) -> Result<(), Obstacle> {
        while self.below.len() > self.depth {
            if let Some(level) = self.below.pop() {
                leave(&level)?;
            }
        }
        Ok(())
    }

    fn level(&self) -> &Level<T> {
        self.depth
            .checked_sub(1)
            .and_then(|index| self.below.get(index))
            .unwrap_or(&self.top)
    }

    fn level_mut(&mut self) -> &mut Level<T> {
        match self.depth.checked_sub(1) {
            Some(index) if index < self.below.len() => {
                self.below.get_mut(index).unwrap_or(&mut self.top)
            }
            _ => &mut self.top,
        }
    }

    /// The layer's top directory.
    pub(super) fn root(&self) -> &T {
        &self.top.directory
    }
}

fn leave<T: Target>(level: &Level<T>) -> Result<(), Obstacle> {
    let Some(changes) = &level.at_close else {
        return Ok(());
    };
    let set = attributes::set(changes, |changes| level.directory.set_attributes(changes));
    let doing = || format!("set attributes of directory `{}`", printable(&level.name));
    set.map(|_| ())
        .map_err(|failure| Obstacle::Host(doing(), failure))
}

/// Opens a directory, or makes it where something else or nothing is.
pub(super) fn open_or_make<T: Target>(parent: &T, name: &[u8], mode: u32) -> Result<T, Failure> {
    match parent.open_directory(name) {
        Err(failure)
            if matches!(
                failure.code,
                Code::NotFound | Code::NotADirectory | Code::Symlink | Code::Invalid
            ) =>
        {
            parent.renew_directory(name, mode)
        }
        opened => opened,
    }
}
