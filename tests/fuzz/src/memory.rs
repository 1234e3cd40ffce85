//! A tree in memory that an archive can be applied to.
//!
//! Invariant: answers as the host does (`wit/deps/host/directory.wit`), for what an archive can ask; the root is
//! reachable from every node, so whatever a name resolves to lies in the tree by construction.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mica_sdk::apply::Target;
use mica_sdk::host::directory::Attributes;
use mica_sdk::tree;
use mica_sdk::{AttributeChanges, Code, Copied, Entry, Failure, Node, NodeKind, Timestamp};

type Answer<T> = Result<T, Failure>;

/// A node of the tree.
#[derive(Debug)]
struct Inode {
    kind: NodeKind,
    names: BTreeMap<Vec<u8>, Shared>,
    target: Vec<u8>,
    size: u64,
    mode: u32,
    links: u32,
}

type Shared = Rc<RefCell<Inode>>;

/// An open directory of the tree.
#[derive(Debug, Clone)]
pub struct Directory(Shared);

/// An open file of the tree: it knows how long it is.
#[derive(Debug, Clone)]
pub struct File(Shared);

/// The entries of a directory that are still to come.
#[derive(Debug)]
pub struct Listing(std::vec::IntoIter<Entry>);

/// The bytes of an archive.
#[derive(Debug)]
pub struct Source<'a>(pub &'a [u8]);

fn fail<T>(code: Code) -> Answer<T> {
    let message = format!("{code:?}");
    Err(Failure { code, message })
}

fn node(kind: NodeKind, mode: u32) -> Shared {
    Rc::new(RefCell::new(Inode {
        kind,
        names: BTreeMap::new(),
        target: Vec::new(),
        size: 0,
        mode,
        links: 1,
    }))
}

fn entry(name: &[u8], inode: &Shared) -> Entry {
    let node = inode.borrow();
    let time = Timestamp {
        seconds: 0,
        nanoseconds: 0,
    };
    Entry {
        name: name.to_vec(),
        attributes: Attributes {
            kind: node.kind,
            mode: node.mode,
            uid: 0,
            gid: 0,
            size: node.size,
            links: node.links,
            inode: Rc::as_ptr(inode) as usize as u64,
            device: 1,
            major: 0,
            minor: 0,
            modified: time,
            changed: time,
        },
        xattrs: Vec::new(),
    }
}

fn check(name: &[u8]) -> Answer<()> {
    match name {
        b"" | b"." | b".." => fail(Code::InvalidName),
        name if name.len() > 255 => fail(Code::NameTooLong),
        name if name.iter().any(|byte| matches!(byte, b'/' | 0)) => fail(Code::InvalidName),
        _ => Ok(()),
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self(node(NodeKind::Directory, 0o755))
    }
}

impl Directory {
    fn find(&self, name: &[u8]) -> Answer<Shared> {
        check(name)?;
        match self.0.borrow().names.get(name) {
            Some(found) => Ok(Rc::clone(found)),
            None => fail(Code::NotFound),
        }
    }

    fn add(&self, name: &[u8], made: Shared) -> Answer<Shared> {
        check(name)?;
        if self.0.borrow().names.contains_key(name) {
            return fail(Code::Exists);
        }
        self.0
            .borrow_mut()
            .names
            .insert(name.to_vec(), Rc::clone(&made));
        Ok(made)
    }

    /// Takes the tree apart level by level, because dropping a deep one would recurse.
    pub fn dismantle(self) {
        let mut left = vec![self.0];
        while let Some(node) = left.pop() {
            left.extend(std::mem::take(&mut node.borrow_mut().names).into_values());
        }
    }
}

impl tree::Directory for Directory {
    type File = File;
    type Listing = Listing;

    fn get_attributes(&self, _: &[String]) -> Answer<Entry> {
        Ok(entry(b"", &self.0))
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Answer<()> {
        set(&self.0, changes)
    }

    fn list(&self, _: &[String]) -> Answer<Listing> {
        let node = self.0.borrow();
        let entries: Vec<_> = node
            .names
            .iter()
            .map(|(name, node)| entry(name, node))
            .collect();
        Ok(Listing(entries.into_iter()))
    }

    fn stat(&self, name: &[u8], _: &[String]) -> Answer<Entry> {
        Ok(entry(name, &self.find(name)?))
    }

    fn open_directory(&self, name: &[u8]) -> Answer<Self> {
        let found = self.find(name)?;
        let kind = found.borrow().kind;
        match kind {
            NodeKind::Directory => Ok(Self(found)),
            NodeKind::Symlink => fail(Code::Symlink),
            _ => fail(Code::NotADirectory),
        }
    }

    fn open_file(&self, name: &[u8]) -> Answer<File> {
        let found = self.find(name)?;
        let kind = found.borrow().kind;
        match kind {
            NodeKind::Regular => Ok(File(found)),
            NodeKind::Symlink => fail(Code::Symlink),
            _ => fail(Code::Invalid),
        }
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> Answer<Self> {
        self.add(name, node(NodeKind::Directory, mode)).map(Self)
    }

    fn create_file(&self, name: &[u8], mode: u32) -> Answer<File> {
        self.add(name, node(NodeKind::Regular, mode)).map(File)
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Answer<()> {
        let made = self.add(name, node(NodeKind::Symlink, 0o777))?;
        made.borrow_mut().target = target.to_vec();
        Ok(())
    }

    fn create_node(&self, name: &[u8], made: Node, mode: u32) -> Answer<()> {
        let kind = match made {
            Node::Fifo => NodeKind::Fifo,
            Node::Socket => NodeKind::Socket,
            Node::BlockDevice(_) => NodeKind::BlockDevice,
            Node::CharacterDevice(_) => NodeKind::CharacterDevice,
        };
        self.add(name, node(kind, mode)).map(drop)
    }

    fn read_link(&self, name: &[u8]) -> Answer<Vec<u8>> {
        let found = self.find(name)?;
        let found = found.borrow();
        match found.kind {
            NodeKind::Symlink => Ok(found.target.clone()),
            _ => fail(Code::Invalid),
        }
    }

    fn same_content(&self, name: &[u8], other: &Self, other_name: &[u8]) -> Answer<bool> {
        // Contents are sizes here.
        let (new, old) = (self.find(name)?, other.find(other_name)?);
        let same = new.borrow().size == old.borrow().size;
        Ok(same)
    }

    fn link(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Answer<()> {
        let found = self.find(name)?;
        if found.borrow().kind == NodeKind::Directory {
            return fail(Code::IsADirectory);
        }
        target.add(new_name, Rc::clone(&found))?;
        found.borrow_mut().links += 1;
        Ok(())
    }

    fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Answer<()> {
        let found = self.find(name)?;
        if contains(&found, &target.0) {
            return fail(Code::Invalid);
        }
        target.add(new_name, found)?;
        self.0.borrow_mut().names.remove(name);
        Ok(())
    }

    fn copy_xattrs(&self, name: &[u8], original: &Self, original_name: &[u8]) -> Answer<()> {
        self.find(name)?;
        original.find(original_name).map(drop)
    }

    fn copy_own_xattrs(&self, _: &Self) -> Answer<()> {
        Ok(())
    }

    fn clear_own_xattrs(&self) -> Answer<()> {
        Ok(())
    }

    fn set_entry_attributes(&self, name: &[u8], changes: &AttributeChanges) -> Answer<()> {
        set(&self.find(name)?, changes)
    }

    fn remove_file(&self, name: &[u8]) -> Answer<()> {
        let found = self.find(name)?;
        if found.borrow().kind == NodeKind::Directory {
            return fail(Code::IsADirectory);
        }
        found.borrow_mut().links -= 1;
        self.0.borrow_mut().names.remove(name);
        Ok(())
    }

    fn remove_tree(&self, name: &[u8]) -> Answer<()> {
        let found = self.find(name)?;
        self.0.borrow_mut().names.remove(name);
        Self(found).dismantle();
        Ok(())
    }
}

/// Whether `wanted` is the node or lies below it.
fn contains(top: &Shared, wanted: &Shared) -> bool {
    let mut left = vec![Rc::clone(top)];
    while let Some(node) = left.pop() {
        if Rc::ptr_eq(&node, wanted) {
            return true;
        }
        left.extend(node.borrow().names.values().cloned());
    }
    false
}

fn set(node: &Shared, changes: &AttributeChanges) -> Answer<()> {
    if let Some(mode) = changes.mode {
        assert!(mode <= 0o7777, "the host refuses mode {mode:o}");
        node.borrow_mut().mode = mode;
    }
    for xattr in &changes.xattrs {
        let is_control =
            xattr.name.starts_with(b"trusted.overlay.") || xattr.name.starts_with(b"user.overlay.");
        assert!(!is_control, "an archive sets overlayfs' own attributes");
    }
    Ok(())
}

impl Target for Directory {}

impl tree::File for File {
    fn set_attributes(&self, changes: &AttributeChanges) -> Answer<()> {
        set(&self.0, changes)
    }

    fn set_size(&self, size: u64) -> Answer<()> {
        self.0.borrow_mut().size = size;
        Ok(())
    }

    fn copy_content(&self, original: &Self) -> Answer<Copied> {
        let size = original.0.borrow().size;
        self.0.borrow_mut().size = size;
        Ok(Copied::Bytes)
    }
}

impl tree::Listing for Listing {
    fn next_page(&mut self) -> Answer<Vec<Entry>> {
        Ok(self.0.by_ref().take(1024).collect())
    }
}

impl tree::Source for Source<'_> {
    type File = File;

    fn read(&mut self, length: u32) -> Answer<Vec<u8>> {
        let taken = self.0.len().min(length as usize);
        let (bytes, rest) = self.0.split_at(taken);
        self.0 = rest;
        Ok(bytes.to_vec())
    }

    fn copy_to(&mut self, file: &File, offset: u64, length: u64) -> Answer<()> {
        tree::Source::skip(self, length)?;
        let mut node = file.0.borrow_mut();
        node.size = node.size.max(offset.saturating_add(length));
        Ok(())
    }

    fn skip(&mut self, length: u64) -> Answer<()> {
        let taken = usize::try_from(length).unwrap_or(usize::MAX);
        match self.0.get(taken..) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => {
                self.0 = &[];
                fail(Code::Truncated)
            }
        }
    }
}
