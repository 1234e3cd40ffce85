//! Copies a tree with all that a layer keeps: modes, owners, times, extended attributes, hard links, every kind of node.

use std::collections::HashMap;

use crate::mica::host::directory::{
    AttributeChanges, Directory, Entry, Node, NodeKind, Ownership,
};
use crate::mica::host::types::Failure;

/// The names on the way to a node.
type Way = Vec<Vec<u8>>;

/// Copies all of `source`, its own attributes included, into the empty directory `target`.
pub fn tree(source: &Directory, target: &Directory) -> Result<(), Failure> {
    let mut copy = Copy {
        top: target,
        names: HashMap::new(),
    };
    copy.directory(source, target, &mut Vec::new())
}

struct Copy<'a> {
    top: &'a Directory,
    /// The first name of each inode that has several.
    names: HashMap<(u64, u64), Way>,
}

impl Copy<'_> {
    fn directory(
        &mut self,
        source: &Directory,
        target: &Directory,
        way: &mut Way,
    ) -> Result<(), Failure> {
        let listing = source.list(&[])?;
        // Lists come in pages: an empty one is the end.
        loop {
            let page = listing.next()?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                way.push(entry.name.clone());
                self.entry(source, target, &entry, way)?;
                way.pop();
            }
        }
        // After all that is in it: making a name changes the time of its directory.
        target.set_attributes(&attributes(&source.get_attributes(&[])?))?;
        target.copy_own_xattrs(source)
    }

    fn entry(
        &mut self,
        source: &Directory,
        target: &Directory,
        entry: &Entry,
        way: &mut Way,
    ) -> Result<(), Failure> {
        let (name, found) = (&entry.name, &entry.attributes);
        if found.kind == NodeKind::Directory {
            let inner = source.open_directory(name)?;
            let made = target.create_directory(name, found.mode)?;
            return self.directory(&inner, &made, way);
        }
        if found.links > 1 {
            let inode = (found.device, found.inode);
            if let Some(first) = self.names.get(&inode) {
                return self.link(first, target, name);
            }
            self.names.insert(inode, way.clone());
        }
        node(source, target, entry)?;
        target.copy_xattrs(name, source, name)
    }

    /// Gives the node that was copied as `first` a further name.
    fn link(&self, first: &Way, target: &Directory, name: &[u8]) -> Result<(), Failure> {
        let Some((last, parents)) = first.split_last() else {
            return Ok(());
        };
        let mut opened: Option<Directory> = None;
        for parent in parents {
            opened = Some(opened.as_ref().unwrap_or(self.top).open_directory(parent)?);
        }
        opened.as_ref().unwrap_or(self.top).link(last, target, name)
    }
}

fn node(source: &Directory, target: &Directory, entry: &Entry) -> Result<(), Failure> {
    let (name, found) = (&entry.name, &entry.attributes);
    let numbers = (found.major, found.minor);
    match found.kind {
        NodeKind::Regular => {
            let made = target.create_file(name, found.mode)?;
            if found.size > 0 {
                // Within the host: the bytes never come here.
                made.copy_content(&source.open_file(name)?)?;
            }
            return made.set_attributes(&attributes(entry));
        }
        NodeKind::Symlink => target.create_symlink(name, &source.read_link(name)?)?,
        NodeKind::BlockDevice => {
            target.create_node(name, Node::BlockDevice(numbers), found.mode)?;
        }
        NodeKind::CharacterDevice => {
            target.create_node(name, Node::CharacterDevice(numbers), found.mode)?;
        }
        NodeKind::Socket => target.create_node(name, Node::Socket, found.mode)?,
        NodeKind::Fifo | NodeKind::Directory => {
            target.create_node(name, Node::Fifo, found.mode)?;
        }
    }
    target.set_entry_attributes(name, &attributes(entry))
}

fn attributes(entry: &Entry) -> AttributeChanges {
    let found = &entry.attributes;
    AttributeChanges {
        owner: Some(Ownership {
            uid: found.uid,
            gid: found.gid,
        }),
        // A symbolic link has no mode.
        mode: (found.kind != NodeKind::Symlink).then_some(found.mode),
        modified: Some(found.modified),
        xattrs: Vec::new(),
    }
}
