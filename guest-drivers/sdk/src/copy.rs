//! Copies a tree: what a driver without shared layers does for every child.
//!
//! Hard links stay hard links, holes stay holes, times are kept to the nanosecond. A socket is copied as a name that no
//! one listens on, so that a child shows what its parent shows.
//!
//! Invariant: content is moved by the host, by reflink where the file system can.

use crate::error::printable;
use crate::tree::pages::Pages;
use crate::tree::{Directory, File as _, wanted};
use crate::{AttributeChanges, Doing as _, Entry, Error, Node, NodeKind, Ownership, Result};
use std::collections::BTreeMap;

/// Deeper trees are refused, as in archives.
const DEPTH: usize = crate::archive::name::DEPTH;

/// Copies all of `from`, attributes of the top directory included, into the empty directory `to`.
///
/// # Errors
/// [`Error::Host`] if a host call fails; [`Error::NotSupported`] for a tree deeper than 256 levels.
pub fn copy_tree<D: Directory>(from: &D, to: &D) -> Result<()> {
    let mut copy = Copy {
        root: to,
        names: BTreeMap::new(),
        path: Vec::new(),
        wanted: wanted::of_layers(),
    };
    copy.directory(from, to)
}

struct Copy<'a, D> {
    root: &'a D,
    /// The first name of each inode that has several.
    names: BTreeMap<(u64, u64), Vec<Vec<u8>>>,
    path: Vec<Vec<u8>>,
    wanted: Vec<String>,
}

impl<D: Directory> Copy<'_, D> {
    fn directory(&mut self, from: &D, to: &D) -> Result<()> {
        if self.path.len() > DEPTH {
            return Err(Error::NotSupported(format!(
                "`{}` lies deeper than {DEPTH} levels",
                self.shown()
            )));
        }
        let mut pages =
            Pages::of(from, &self.wanted).doing(|| format!("list directory `{}`", self.shown()))?;
        while let Some(entry) = pages
            .advance()
            .doing(|| format!("list directory `{}`", self.shown()))?
        {
            self.path.push(entry.name.clone());
            self.node(from, to, &entry)?;
            self.path.pop();
        }
        let own = from
            .get_attributes(&self.wanted)
            .doing(|| format!("read directory `{}`", self.shown()))?;
        to.set_attributes(&attributes(&own))
            .doing(|| format!("set attributes of `{}`", self.shown()))
    }

    fn node(&mut self, from: &D, to: &D, entry: &Entry) -> Result<()> {
        let (name, found) = (&entry.name, &entry.attributes);
        let many = found.kind != NodeKind::Directory && found.links > 1;
        if many && self.link(to, entry)? {
            return Ok(());
        }
        let doing = || format!("copy `{}`", printable(name));
        match found.kind {
            NodeKind::Directory => {
                let inner = from.open_directory(name).doing(doing)?;
                let made = to.create_directory(name, found.mode).doing(doing)?;
                return self.directory(&inner, &made);
            }
            NodeKind::Regular => {
                let made = to.create_file(name, found.mode).doing(doing)?;
                if found.size > 0 {
                    made.copy_content(&from.open_file(name).doing(doing)?)
                        .doing(doing)?;
                }
                made.set_attributes(&attributes(entry)).doing(doing)?;
            }
            NodeKind::Symlink => {
                let target = from.read_link(name).doing(doing)?;
                to.create_symlink(name, &target).doing(doing)?;
                to.set_entry_attributes(name, &attributes(entry))
                    .doing(doing)?;
            }
            NodeKind::Fifo
            | NodeKind::Socket
            | NodeKind::BlockDevice
            | NodeKind::CharacterDevice => {
                to.create_node(name, special(entry), found.mode)
                    .doing(doing)?;
                to.set_entry_attributes(name, &attributes(entry))
                    .doing(doing)?;
            }
        }
        if many {
            self.names
                .insert((found.device, found.inode), self.path.clone());
        }
        Ok(())
    }

    /// Links a further name to the first; false if this is the first.
    fn link(&self, to: &D, entry: &Entry) -> Result<bool> {
        let key = (entry.attributes.device, entry.attributes.inode);
        let Some((last, parents)) = self.names.get(&key).and_then(|path| path.split_last()) else {
            return Ok(false);
        };
        let doing = || format!("link `{}`", printable(&entry.name));
        let mut way: Vec<D> = Vec::new();
        for part in parents {
            let next = way
                .last()
                .unwrap_or(self.root)
                .open_directory(part)
                .doing(doing)?;
            way.push(next);
        }
        way.last()
            .unwrap_or(self.root)
            .link(last, to, &entry.name)
            .doing(doing)?;
        Ok(true)
    }

    fn shown(&self) -> String {
        printable(&self.path.join(&b'/'))
    }
}

fn special(entry: &Entry) -> Node {
    let numbers = (entry.attributes.major, entry.attributes.minor);
    match entry.attributes.kind {
        NodeKind::BlockDevice => Node::BlockDevice(numbers),
        NodeKind::CharacterDevice => Node::CharacterDevice(numbers),
        NodeKind::Socket => Node::Socket,
        _ => Node::Fifo,
    }
}

/// What a copy of a node gets.
#[must_use]
pub fn attributes(entry: &Entry) -> AttributeChanges {
    let found = &entry.attributes;
    AttributeChanges {
        owner: Some(Ownership {
            uid: found.uid,
            gid: found.gid,
        }),
        mode: (found.kind != NodeKind::Symlink).then_some(found.mode),
        modified: Some(found.modified),
        xattrs: wanted::kept(&entry.xattrs).cloned().collect(),
    }
}
