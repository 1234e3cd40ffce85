//! Symbolic links of the layers below, whose fate the archive has not told yet.
//!
//! A layer that brings `link/x`, where a layer below has the link `link -> target`, means one of two things. If it also
//! says that `link` is a directory, by an entry `link/`, or that the link is hidden, by `.wh.link` or `.wh..wh..opq` in
//! `link` or above it, then `link` is a directory and the target is none of its business. If it says neither, the layer
//! was made by a program that wrote through the link, and `x` belongs into the target. What tells one from the other may
//! come last, and an archive can be read only once. So what lies behind such a link waits in a directory at the top of
//! the layer that no archive can name. Where `link` turns out to be a directory, that directory is moved into its place;
//! the rest is put where the links lead when the archive has ended, deletions first.
//!
//! Overlay2 and containerd unpack into the upper directory alone, where `link/x` makes a directory in any case. Drivers
//! that unpack into a complete tree (moby's vfs and btrfs, umoci) write through the link. Here a layer means the same
//! for every driver.
//!
//! Invariant: nothing behind a link of the layers below changes before it is certain that the layer means it.

use super::Target;
use super::chain::Chain;
use super::seen::{PathHash, hash};
use super::way::{IMPLIED_MODE, Missing, Obstacle, Way};
use crate::error::printable;
use crate::tree::{Listing as _, wanted};
use crate::{Code, Doing as _, Entry, Failure, NodeKind, Result, copy};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the places are called, before a number. An archive's `.wh..wh.` names never become nodes.
const PLACE: &str = ".wh..wh.mica.link.";
/// Bytes of deletions that may wait.
const HIDDEN_BYTES: usize = 8 << 20;

/// The links that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    links: BTreeMap<PathHash, Link>,
    /// Links so far.
    count: u32,
    hidden_bytes: usize,
    over: bool,
}

/// A link that waits.
#[derive(Debug)]
pub(super) struct Link {
    number: u32,
    path: Vec<Vec<u8>>,
    /// The name of the directory where things wait.
    place: Option<Vec<u8>>,
    hidden: Vec<Hidden>,
}

/// A deletion behind a link.
#[derive(Debug)]
struct Hidden {
    /// The names that lead on from the link.
    rest: Vec<Vec<u8>>,
    /// What is hidden there; all of it if absent.
    name: Option<Vec<u8>>,
}

impl Waiting {
    /// Whether nothing is to wait any more.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The link of a path.
    pub(super) fn get(&self, at: PathHash) -> Option<&Link> {
        self.links.get(&at)
    }

    /// Lets a link wait.
    pub(super) fn add(&mut self, at: PathHash, path: Vec<Vec<u8>>) {
        let link = Link {
            number: self.count,
            path,
            place: None,
            hidden: Vec::new(),
        };
        self.count += 1;
        self.links.insert(at, link);
    }

    /// The directory where things wait that lie behind a link, if something does.
    pub(super) fn open<T: Target>(&self, root: &T, at: PathHash) -> Result<Option<T>, Failure> {
        let place = self.get(at).and_then(|link| link.place.as_ref());
        place.map(|place| root.open_directory(place)).transpose()
    }

    /// The same, made if need be.
    pub(super) fn place<T: Target>(&mut self, root: &T, at: PathHash) -> Result<T, Failure> {
        if let Some(directory) = self.open(root, at)? {
            return Ok(directory);
        }
        loop {
            let place = format!("{PLACE}{}", self.count).into_bytes();
            self.count += 1;
            match root.create_directory(&place, IMPLIED_MODE) {
                // A layer can hold the name, for a container can have made it.
                Err(failure) if failure.code == Code::Exists => {}
                made => {
                    self.link(at).place = Some(place);
                    return made;
                }
            }
        }
    }

    /// A link that waits: what is noted of another would be lost, and the layer would show what was deleted.
    fn link(&mut self, at: PathHash) -> &mut Link {
        self.links.get_mut(&at).expect("it was found there")
    }

    /// Notes a deletion behind a link; without a name all that is there.
    pub(super) fn hide(
        &mut self,
        at: PathHash,
        rest: Vec<Vec<u8>>,
        name: Option<&[u8]>,
    ) -> Result<(), String> {
        let names = rest.iter().map(Vec::len).chain(name.map(<[u8]>::len));
        self.hidden_bytes += names.map(|length| length + 64).sum::<usize>();
        if self.hidden_bytes > HIDDEN_BYTES {
            return Err("too many deletions lie behind symbolic links of lower layers".to_owned());
        }
        let name = name.map(<[u8]>::to_vec);
        self.link(at).hidden.push(Hidden { rest, name });
        Ok(())
    }
}

impl<T: Target> Chain<T> {
    /// If a link of this name of the current directory waits: it is a directory. What waits behind it takes its place,
    /// and what was to be hidden behind it is not.
    pub(super) fn unfold(&mut self, name: &[u8]) -> Result<(), Failure> {
        let at = self.hash_of(name);
        if self.waiting.get(at).is_none() {
            return Ok(());
        }
        self.forget_path();
        let here = self.here()?;
        self.unfold_in(&here, name, at)
    }

    /// The same in any directory; the chain must not lead behind the link.
    pub(super) fn unfold_in(&mut self, here: &T, name: &[u8], at: PathHash) -> Result<(), Failure> {
        let link = self.waiting.links.remove(&at);
        let Some(place) = link.and_then(|link| link.place) else {
            return Ok(());
        };
        let root = Rc::clone(self.root());
        here.make_way(name)?;
        root.rename(&place, here, name)
    }

    /// If a link waits with nothing but deletions behind it: they have no object any more.
    pub(super) fn forget_waiting(&mut self, at: PathHash) -> Result<(), Failure> {
        let link = self.waiting.links.remove(&at);
        match link.and_then(|link| link.place) {
            Some(place) => self.root().remove_tree(&place),
            None => Ok(()),
        }
    }

    /// Puts what still waits where its links lead.
    pub(super) fn settle_waiting(&mut self) -> Result<(), Obstacle> {
        self.waiting.over = true;
        self.go::<&[u8]>(&[], Missing::Create)?;
        let links = std::mem::take(&mut self.waiting.links);
        let mut links: Vec<(PathHash, Link)> = links.into_iter().collect();
        // In the order of the archive, because one link may lead through another.
        links.sort_by_key(|(_, link)| link.number);
        for (_, link) in &links {
            for Hidden { rest, name } in &link.hidden {
                let path = [link.path.as_slice(), rest].concat();
                // A deletion behind a link whose target is not there deletes nothing, and must not make a directory.
                if self.go(&path, Missing::Stop)? == Way::There {
                    self.hide_here(name.as_deref())
                        .map_err(|failure| obstacle("hide what lies in", &path, failure))?;
                }
            }
        }
        for (at, link) in links {
            let Some(place) = &link.place else { continue };
            self.move_in(at, &link.path, place)?;
            let root = Rc::clone(self.root());
            root.remove_tree(place)
                .map_err(|failure| obstacle("clear what waited for", &link.path, failure))?;
        }
        Ok(())
    }

    /// Moves what waits behind a link to where the link leads.
    fn move_in(&mut self, at: PathHash, link: &[Vec<u8>], place: &[u8]) -> Result<(), Obstacle> {
        // No recursion: an archive can be as deep as it likes, a guest's stack cannot.
        let mut todo: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
        while let Some(rest) = todo.pop() {
            let path = [link, rest.as_slice()].concat();
            self.go(&path, Missing::Create)?;
            let below = self
                .move_directory(at, place, &rest)
                .map_err(|failure| obstacle("move what waited for", &path, failure))?;
            let names = below.into_iter();
            todo.extend(names.map(|name| [rest.as_slice(), &[name]].concat()));
        }
        Ok(())
    }

    /// Moves what waits in one directory to the current one; answers the directories that are there already.
    fn move_directory(
        &mut self,
        at: PathHash,
        place: &[u8],
        rest: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let mut from = self.root().open_directory(place)?;
        for name in rest {
            from = from.open_directory(name)?;
        }
        let from_hash = rest.iter().fold(at, |at, name| hash(at, name));
        if !rest.is_empty() && self.described.contains(from_hash) {
            self.at_close(copy::attributes(
                &from.get_attributes(&wanted::of_layers())?,
            ));
        }
        let mut below = Vec::new();
        let mut listing = from.list(&[])?;
        loop {
            let page = listing.next_page()?;
            if page.is_empty() {
                return Ok(below);
            }
            for entry in page {
                let described = self.described.contains(hash(from_hash, &entry.name));
                if self.move_node(&from, &entry, described)? {
                    below.push(entry.name);
                }
            }
        }
    }

    /// Moves one node to the current directory, unless it is a directory that is there already.
    fn move_node(&mut self, from: &T, entry: &Entry, described: bool) -> Result<bool, Failure> {
        let (here, name) = (self.here()?, entry.name.as_slice());
        let there = here.stat(name, &[]).unless(Code::NotFound)?;
        if entry.attributes.kind == NodeKind::Directory {
            let merges = |kind| match kind {
                NodeKind::Directory => true,
                // An entry of its own makes a directory of the name; else the things in it go where that link leads.
                NodeKind::Symlink => !described,
                _ => false,
            };
            if there
                .as_ref()
                .is_some_and(|there| merges(there.attributes.kind))
            {
                return Ok(true);
            }
        }
        self.touch()?;
        if there.is_some() {
            here.make_way(name)?;
        }
        from.rename(name, &here, name)?;
        // The count of paths was checked when the entry came.
        let _ = self.saw(name);
        self.forget_path();
        Ok(false)
    }
}

fn obstacle(doing: &str, path: &[Vec<u8>], failure: Failure) -> Obstacle {
    Obstacle::Host(
        format!("{doing} `{}`", printable(&path.join(&b'/'))),
        failure,
    )
}
