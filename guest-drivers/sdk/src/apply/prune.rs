//! Whiteouts.
//!
//! Invariant: what the archive itself has brought stays, whether it came before or comes after.

use super::chain::Missing;
use super::seen::{PathHash, Seen, hash};
use super::{Apply, Target};
use crate::error::{host, printable};
use crate::tree::{Listing as _, Source};
use crate::{Code, Failure, NodeKind, Result};

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    /// Hides one name of the layers below.
    pub(super) fn hide(&mut self, parent: &[&[u8]], name: &[u8]) -> Result<()> {
        if !self
            .chain
            .go(parent, Missing::Stop)
            .map_err(|obstacle| obstacle.named(&self.reader))?
        {
            return Ok(());
        }
        let doing = |failure| host(format!("remove `{}`", printable(name)), failure);
        self.chain.touch().map_err(doing)?;
        self.chain.forget_path();
        let (above, seen) = self.chain.seen();
        let at = hash(above, name);
        if !seen.contains(at) {
            return self.chain.top().erase(name).map_err(doing);
        }
        match self.chain.top().open_directory(name) {
            Ok(directory) => prune(&directory, at, seen).map_err(doing),
            Err(_) => Ok(()),
        }
    }

    /// Hides all that the layers below have in a directory.
    pub(super) fn hide_all(&mut self, directory: &[&[u8]]) -> Result<()> {
        self.chain
            .go(directory, Missing::Create)
            .map_err(|obstacle| obstacle.named(&self.reader))?;
        let doing = |failure| host("hide what lies below".to_owned(), failure);
        self.chain.touch().map_err(doing)?;
        self.chain.forget_path();
        let (at, seen) = self.chain.seen();
        prune(self.chain.top(), at, seen).map_err(doing)
    }
}

/// Removes what the archive has not brought.
fn prune<T: Target>(directory: &T, at: PathHash, seen: &Seen) -> Result<(), Failure> {
    let modified = directory.get_attributes(&[])?.attributes.modified;
    directory.sever()?;
    let mut names = Vec::new();
    let mut listing = directory.list(&[])?;
    loop {
        let page = listing.next_page()?;
        if page.is_empty() {
            break;
        }
        names.extend(
            page.into_iter()
                .map(|entry| (entry.name, entry.attributes.kind)),
        );
    }
    drop(listing);
    for (name, kind) in names {
        let below = hash(at, &name);
        if !seen.contains(below) {
            directory.erase(&name)?;
        } else if kind == NodeKind::Directory {
            match directory.open_directory(&name) {
                Ok(child) => prune(&child, below, seen)?,
                Err(failure) if failure.code == Code::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    let changes = crate::AttributeChanges {
        owner: None,
        mode: None,
        modified: Some(modified),
        xattrs: Vec::new(),
    };
    directory.set_attributes(&changes)
}
