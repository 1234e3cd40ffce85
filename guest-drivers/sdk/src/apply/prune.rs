//! Whiteouts.
//!
//! Invariant: what the archive itself has brought stays, whether it came before or comes after.

use super::attributes::its_time;
use super::chain::Chain;
use super::seen::{PathHash, hash};
use super::way::{IMPLIED_MODE, Missing, Way};
use super::{Apply, Target};
use crate::error::{host, printable};
use crate::tree::trail::Trail;
use crate::tree::{Listing as _, Source};
use crate::{AttributeChanges, Code, Doing as _, Failure, NodeKind, Ownership, Result};
use std::rc::Rc;

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    /// Hides one name of the layers below.
    pub(super) fn hide(&mut self, parent: &[&[u8]], name: &[u8]) -> Result<()> {
        let missing = match T::IS_BELOW_KNOWN {
            // Nothing is there that could be hidden; a directory that is only implied by a deletion would be a change.
            true => Missing::Stop,
            // The layers below are not known yet, so the whiteout has to be kept, and needs its directory.
            false => Missing::Create,
        };
        let way = self.chain.go(parent, missing);
        match way.map_err(|obstacle| obstacle.named(&self.reader))? {
            Way::Nowhere => Ok(()),
            Way::Waits(link, rest) => {
                let noted = self.chain.waiting.hide(link, rest, Some(name));
                noted.map_err(|what| self.reader.invalid(what))
            }
            Way::There => {
                let hidden = self.chain.hide_here(Some(name));
                hidden.doing(|| format!("remove `{}`", printable(name)))
            }
        }
    }

    /// Hides all that the layers below have in a directory, which this makes sure of: only directories are opaque.
    pub(super) fn hide_all(&mut self, directory: &[&[u8]]) -> Result<()> {
        if let Some((name, parent)) = directory.split_last() {
            self.go(parent)?;
            let own = self.chain.own_directory(name);
            own.doing(|| format!("make directory `{}`", printable(name)))?;
        }
        self.go(directory)?;
        if let Some((link, rest)) = self.chain.behind() {
            let noted = self.chain.waiting.hide(link, rest, None);
            return noted.map_err(|what| self.reader.invalid(what));
        }
        let hidden = self.chain.hide_here(None);
        hidden.map_err(|failure| host("hide what lies below", failure))
    }
}

impl<T: Target> Chain<T> {
    /// Takes a symbolic link of the layers below for the directory that the archive says it is.
    fn own_directory(&mut self, name: &[u8]) -> Result<(), Failure> {
        self.unfold(name)?;
        if self.seen.contains(self.hash_of(name)) {
            return Ok(());
        }
        match self.here()?.open_directory(name) {
            Err(failure) if failure.code == Code::Symlink => {
                self.touch()?;
                self.forget_path();
                self.here()?.make_way(name)
            }
            _ => Ok(()),
        }
    }

    /// Hides a name of the current directory, or all names, as far as the layers below have brought them.
    pub(super) fn hide_here(&mut self, name: Option<&[u8]>) -> Result<(), Failure> {
        self.touch()?;
        self.forget_path();
        let here = self.here()?;
        let Some(name) = name else {
            return self.prune(here, self.hash());
        };
        let at = self.hash_of(name);
        if !self.seen.contains(at) {
            self.forget_waiting(at)?;
            return here.erase(name);
        }
        self.unfold(name)?;
        match here.open_directory(name) {
            Ok(directory) => {
                self.imply_again(&directory, at)?;
                self.prune(Rc::new(directory), at)
            }
            Err(_) => Ok(()),
        }
    }

    /// A directory of the layers below that is hidden, but has something of the archive in it: without an entry of its
    /// own it is what any implied directory is, as it would be if it had been hidden first.
    fn imply_again(&self, directory: &T, at: PathHash) -> Result<(), Failure> {
        if self.described.contains(at) {
            return Ok(());
        }
        directory.clear_own_xattrs()?;
        directory.set_attributes(&AttributeChanges {
            owner: Some(Ownership { uid: 0, gid: 0 }),
            mode: Some(IMPLIED_MODE),
            modified: None,
            xattrs: Vec::new(),
        })
    }

    /// Removes what the archive has not brought.
    fn prune(&mut self, directory: Rc<T>, at: PathHash) -> Result<(), Failure> {
        let mut trail = Trail::shared(directory);
        let mut todo = vec![self.prune_names(&mut trail, at)?];
        while let Some(level) = todo.last_mut() {
            let Some((name, at)) = level.pop() else {
                todo.pop();
                trail.leave();
                continue;
            };
            let opened = trail.here()?.open_directory(&name);
            if let Some(child) = opened.unless(Code::NotFound)? {
                self.imply_again(&child, at)?;
                trail.enter(&name, child);
                todo.push(self.prune_names(&mut trail, at)?);
            }
        }
        Ok(())
    }

    /// Removes names of one directory; answers the directories of which something stays.
    fn prune_names(
        &mut self,
        trail: &mut Trail<T>,
        at: PathHash,
    ) -> Result<Vec<(Vec<u8>, PathHash)>, Failure> {
        let directory = trail.here()?;
        // Removing names changes the time of the directory, which no entry of the archive has asked for.
        let time = its_time(&*directory)?;
        // In an upper, opaque from now on: what stays must not let names of the layers below through again.
        directory.sever()?;
        let mut names = Vec::new();
        let mut listing = directory.list(&[])?;
        loop {
            let page = listing.next_page()?;
            if page.is_empty() {
                break;
            }
            let entries = page.into_iter();
            names.extend(entries.map(|entry| (entry.name, entry.attributes.kind)));
        }
        // Collected before anything is removed: a listing of a directory that changes may skip names.
        drop(listing);
        let mut stay = Vec::new();
        for (name, kind) in names {
            let below = hash(at, &name);
            if !self.seen.contains(below) {
                self.forget_waiting(below)?;
                directory.erase(&name)?;
            } else if kind == NodeKind::Directory {
                stay.push((name, below));
            } else if kind == NodeKind::Symlink {
                self.unfold_in(&directory, &name, below)?;
            }
        }
        directory.set_attributes(&time)?;
        Ok(stay)
    }
}
