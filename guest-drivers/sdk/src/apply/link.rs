//! Hard links.
//!
//! Invariant: a link's target is looked up within the layer, by the rules for names, and is never followed itself.

use super::chain::Chain;
use super::seen::{PathHash, TOP, hash};
use super::way::{MAX_SYMLINKS, Obstacle, is_missing, steps};
use super::{Apply, Target};
use crate::archive::{Entry as Record, name};
use crate::error::{host, printable};
use crate::tree::Source;
use crate::tree::trail::Trail;
use crate::{Code, Doing as _, Entry, NodeKind, Result};
use std::collections::VecDeque;
use std::rc::Rc;

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    pub(super) fn make_link(&mut self, entry: &Record, name: &[u8]) -> Result<()> {
        let parts = name::split(&entry.link).map_err(|what| {
            let target = printable(&entry.link);
            self.reader
                .invalid(format_args!("its target `{target}`: {what}"))
        })?;
        let kept = self.kept.instead_of(&parts);
        let parts = kept.as_deref().map_or(parts, |kept| vec![kept]);
        let Some(last) = parts.last().map(|last| last.to_vec()) else {
            return Err(self.reader.invalid("its target is the top directory"));
        };
        let shown = printable(&entry.link);
        let missing = format!("its target `{shown}` is not there");
        let found = self.chain.locate(&parts);
        let Some((directory, target)) = found.map_err(|obstacle| obstacle.named(&self.reader))?
        else {
            return Err(self.reader.invalid(missing));
        };
        if target.attributes.kind == NodeKind::Directory {
            return Err(self
                .reader
                .invalid(format_args!("its target `{shown}` is a directory")));
        }
        let here = self.here(entry)?;
        let there = here.stat(name, &[]);
        let same = there.is_ok_and(|there| {
            (there.attributes.device, there.attributes.inode)
                == (target.attributes.device, target.attributes.inode)
        });
        if same {
            return Ok(());
        }
        let made = match directory.link(&last, &here, name) {
            Err(failure) if failure.code == Code::Exists => here
                .make_way(name)
                .and_then(|()| directory.link(&last, &here, name)),
            made => made,
        };
        self.chain.forget_path();
        made.map_err(|failure| match failure.code {
            Code::NotFound => self.reader.invalid(missing),
            Code::CrossDevice => self.reader.invalid(format_args!(
                "its target `{shown}` lies in another btrfs subvolume, where no hard link leads"
            )),
            _ => host(format!("link `{}`", printable(name)), failure),
        })
    }
}

/// A name and the directory that holds it.
type Located<T> = Option<(Rc<T>, Entry)>;

impl<T: Target> Chain<T> {
    /// Looks up what has a path, without following its last name; `None` if nothing has.
    fn locate(&self, parts: &[&[u8]]) -> Result<Located<T>, Obstacle> {
        let todo = parts.iter().map(|part| part.to_vec()).collect();
        let way = Steps {
            trail: Trail::shared(Rc::clone(self.root())),
            hashes: vec![TOP],
        };
        self.locate_from(way, todo, &mut 0)
    }

    fn locate_from(
        &self,
        mut way: Steps<T>,
        mut todo: VecDeque<Vec<u8>>,
        links: &mut usize,
    ) -> Result<Located<T>, Obstacle> {
        while let Some(part) = todo.pop_front() {
            let doing =
                |failure| Obstacle::Host(format!("look up `{}`", printable(&part)), failure);
            if part == b".." {
                way.leave();
                continue;
            }
            let here = way.trail.here().map_err(doing)?;
            if todo.is_empty() {
                let found = here.stat(&part, &[]).unless(Code::NotFound);
                return Ok(found.map_err(doing)?.map(|found| (here, found)));
            }
            match here.open_directory(&part) {
                Ok(directory) => way.enter(&part, directory),
                Err(failure) if is_missing(failure.code) => return Ok(None),
                Err(failure) if failure.code == Code::Symlink => {
                    *links += 1;
                    if *links > MAX_SYMLINKS {
                        return Err(Obstacle::Archive(format!(
                            "over {MAX_SYMLINKS} symbolic links lead to its target"
                        )));
                    }
                    // What this archive brings lies where it waits, the rest where the link leads.
                    let at = hash(way.hash(), &part);
                    if let Some(place) = self.waiting.open(&**self.root(), at).map_err(doing)? {
                        let behind = Steps {
                            trail: Trail::new(place),
                            hashes: vec![at],
                        };
                        let found = self.locate_from(behind, todo.clone(), links)?;
                        if found.is_some() {
                            return Ok(found);
                        }
                    }
                    let target = here.read_link(&part).map_err(doing)?;
                    if target.starts_with(b"/") {
                        way = Steps {
                            trail: Trail::shared(Rc::clone(self.root())),
                            hashes: vec![TOP],
                        };
                    }
                    for step in steps(&target).rev() {
                        todo.push_front(step.to_vec());
                    }
                }
                Err(failure) => return Err(doing(failure)),
            }
        }
        Ok(None)
    }
}

/// A trail with the hash of each of its directories.
struct Steps<T> {
    trail: Trail<T>,
    hashes: Vec<PathHash>,
}

impl<T: Target> Steps<T> {
    fn hash(&self) -> PathHash {
        self.hashes.last().copied().unwrap_or(TOP)
    }

    fn enter(&mut self, name: &[u8], directory: T) {
        self.hashes.push(hash(self.hash(), name));
        self.trail.enter(name, directory);
    }

    fn leave(&mut self) {
        if self.hashes.len() > 1 {
            self.hashes.pop();
            self.trail.leave();
        }
    }
}
