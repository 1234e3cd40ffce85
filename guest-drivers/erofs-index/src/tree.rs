//! What an archive's members make of a layer.
//!
//! Invariant: of two members of one path the later one counts; a directory over a directory keeps what is in it.

use crate::holds::{check, check_content, cost};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// Estimated memory of a node and of a name, with the parts of the maps that hold them.
const NODE_BYTES: usize = 320;
pub(crate) const NAME_BYTES: usize = 96;

/// Why an archive cannot become an index, or not by itself. It is to be unpacked instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A member lies behind something that is no directory: a symbolic link, perhaps.
    BehindNoDirectory,
    /// A hard link's target is not among the members before it, or is a directory.
    LinkTarget,
    /// The top hides all that the layers below have, which overlayfs does not do by a mark.
    OpaqueTop,
    /// The parts of a sparse file, or its content, do not lie at multiples of a block, or are too many.
    Sparse,
    /// An extended attribute has a name or a size that EROFS does not hold.
    Xattr,
    /// A name, target, device or time is outside of what EROFS holds.
    Value,
    /// There are more members than memory for them.
    TooLarge,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BehindNoDirectory => "a member lies behind something that is no directory",
            Self::LinkTarget => "the target of a hard link is no file of the archive before it",
            Self::OpaqueTop => "the top directory hides all of the layers below",
            Self::Sparse => "the parts of a sparse file do not lie at multiples of a block",
            Self::Xattr => "an extended attribute has a name or a size that EROFS does not hold",
            Self::Value => "a name, target, device or time is outside of what EROFS holds",
            Self::TooLarge => "there are more members than an index may have",
        })
    }
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// The full name, for instance `user.comment`.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// What a node has beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits: `0o7777` at most.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change, in seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds past the second.
    pub nanoseconds: u32,
    /// Extended attributes, in any order. Names of the name spaces `user.`, `trusted.` and `security.`, and the access
    /// lists in the kernel's binary form.
    pub xattrs: Vec<Xattr>,
}

/// A part of a file that the archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Where it begins in the archive, in bytes.
    pub at: u64,
}

/// Where the content of a file lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Bytes of the file.
    pub size: u64,
    /// What of it is in the archive, in order; the rest is holes. A file that is not sparse has one.
    pub segments: Vec<Segment>,
}

/// A node that is no directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File(Data),
    /// A symbolic link's target.
    Symlink(Vec<u8>),
    /// A character device with its major and minor number.
    CharacterDevice(u32, u32),
    /// A block device with its major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A number of a node in its tree.
pub(crate) type Id = usize;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) attributes: Attributes,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Directory(Directory),
    Other(Content),
}

#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) children: BTreeMap<Vec<u8>, Id>,
    /// Names of the layers below that are deleted.
    pub(crate) hidden: BTreeSet<Vec<u8>>,
    /// Whether all that the layers below have in it is deleted.
    pub(crate) is_opaque: bool,
    /// Whether a member describes it.
    pub(crate) is_described: bool,
    /// Whether a member is or lies in it; else only deletions do.
    pub(crate) is_brought: bool,
}

/// The tree that an archive's members make.
#[derive(Debug)]
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
    memory_bytes: usize,
    used_bytes: usize,
}

/// The number of the top.
pub(crate) const TOP: Id = 0;

/// What a way is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Member,
    Deletion,
}

impl Tree {
    /// Begins with a top that has these attributes. About `memory_bytes` may be used for the tree.
    #[must_use]
    pub fn new(top: Attributes, memory_bytes: usize) -> Self {
        let directory = Directory {
            is_described: true,
            is_brought: true,
            ..Directory::default()
        };
        Self {
            nodes: vec![Node {
                attributes: top,
                kind: Kind::Directory(directory),
            }],
            memory_bytes,
            used_bytes: NODE_BYTES,
        }
    }

    /// Gives the top other attributes.
    ///
    /// # Errors
    /// [`Unfit`]; so for all methods.
    pub fn set_top(&mut self, attributes: Attributes) -> Result<(), Unfit> {
        check(&attributes)?;
        *self.attributes_mut(TOP) = attributes;
        Ok(())
    }

    /// Adds a directory, or gives one that is there already these attributes.
    ///
    /// # Errors
    /// See [`Tree::set_top`].
    pub fn add_directory(
        &mut self,
        parent: &[&[u8]],
        name: &[u8],
        attributes: Attributes,
    ) -> Result<(), Unfit> {
        check(&attributes)?;
        let above = self.way(parent, For::Member, &attributes)?;
        let there = self.child(above, name);
        let is_directory = there.is_some_and(|id| self.directory(id).is_some());
        self.used_bytes += cost(&attributes);
        let id = match there.filter(|_| is_directory) {
            Some(id) => id,
            None => self.insert(above, name, Kind::Directory(Directory::default()))?,
        };
        if let Some(directory) = self.directory_mut(id) {
            directory.is_described = true;
            directory.is_brought = true;
            // Overlayfs would not show through it what the file before it has hidden.
            directory.is_opaque |= there.is_some() && !is_directory;
        }
        *self.attributes_mut(id) = attributes;
        self.check_memory()
    }

    /// Adds a node that is no directory; what has its name goes, with all below it.
    ///
    /// # Errors
    /// See [`Tree::set_top`].
    pub fn add(
        &mut self,
        parent: &[&[u8]],
        name: &[u8],
        attributes: Attributes,
        content: Content,
    ) -> Result<(), Unfit> {
        check(&attributes)?;
        let extra = check_content(&content)?;
        let above = self.way(parent, For::Member, &attributes)?;
        self.used_bytes += cost(&attributes) + extra;
        let id = self.insert(above, name, Kind::Other(content))?;
        *self.attributes_mut(id) = attributes;
        self.check_memory()
    }

    /// Gives the node of an earlier member a further name.
    ///
    /// # Errors
    /// See [`Tree::set_top`].
    pub fn link(&mut self, parent: &[&[u8]], name: &[u8], target: &[&[u8]]) -> Result<(), Unfit> {
        let mut id = TOP;
        for part in target {
            id = self.child(id, part).ok_or(Unfit::LinkTarget)?;
        }
        if self.directory(id).is_some() {
            return Err(Unfit::LinkTarget);
        }
        let of_file = self.attributes_mut(id);
        let time = Attributes {
            seconds: of_file.seconds,
            nanoseconds: of_file.nanoseconds,
            ..Attributes::default()
        };
        let above = self.way(parent, For::Member, &time)?;
        self.name(above, name, id)?;
        self.check_memory()
    }

    /// Deletes a name of the layers below.
    ///
    /// # Errors
    /// See [`Tree::set_top`].
    pub fn hide(&mut self, parent: &[&[u8]], name: &[u8]) -> Result<(), Unfit> {
        let above = self.way(parent, For::Deletion, &Attributes::default())?;
        self.used_bytes += NAME_BYTES + name.len();
        if let Some(directory) = self.directory_mut(above) {
            directory.hidden.insert(name.to_vec());
        }
        self.check_memory()
    }

    /// Deletes all that the layers below have in a directory.
    ///
    /// # Errors
    /// See [`Tree::set_top`].
    pub fn hide_all(&mut self, path: &[&[u8]]) -> Result<(), Unfit> {
        let id = self.way(path, For::Deletion, &Attributes::default())?;
        if let Some(directory) = self.directory_mut(id) {
            directory.is_opaque = true;
        }
        self.check_memory()
    }

    /// Goes to a directory; what is missing is made, and described by nothing so far.
    fn way(&mut self, parts: &[&[u8]], what: For, time: &Attributes) -> Result<Id, Unfit> {
        let mut at = TOP;
        for part in parts {
            let next = match self.child(at, part) {
                Some(id) => id,
                None => {
                    let id = self.insert(at, part, Kind::Directory(Directory::default()))?;
                    *self.attributes_mut(id) = Attributes {
                        mode: 0o755,
                        seconds: time.seconds,
                        nanoseconds: time.nanoseconds,
                        ..Attributes::default()
                    };
                    id
                }
            };
            let directory = self.directory_mut(next).ok_or(Unfit::BehindNoDirectory)?;
            directory.is_brought |= what == For::Member;
            at = next;
        }
        Ok(at)
    }

    fn insert(&mut self, above: Id, name: &[u8], kind: Kind) -> Result<Id, Unfit> {
        let id = self.nodes.len();
        self.used_bytes += NODE_BYTES;
        self.nodes.push(Node {
            attributes: Attributes::default(),
            kind,
        });
        self.name(above, name, id)?;
        Ok(id)
    }

    fn name(&mut self, above: Id, name: &[u8], id: Id) -> Result<(), Unfit> {
        if !(1..=255).contains(&name.len())
            || name.iter().any(|byte| matches!(byte, 0 | b'/'))
            || matches!(name, b"." | b"..")
        {
            return Err(Unfit::Value);
        }
        // What came before may lie behind a link of the layers below that has the name.
        let there = self.child(above, name).and_then(|id| self.directory(id));
        if there.is_some_and(|there| there.is_brought && !there.is_described) {
            return Err(Unfit::BehindNoDirectory);
        }
        self.used_bytes += NAME_BYTES + name.len();
        let directory = self.directory_mut(above).ok_or(Unfit::BehindNoDirectory)?;
        directory.children.insert(name.to_vec(), id);
        Ok(())
    }

    pub(crate) fn child(&self, id: Id, name: &[u8]) -> Option<Id> {
        self.directory(id)?.children.get(name).copied()
    }

    pub(crate) fn directory(&self, id: Id) -> Option<&Directory> {
        match &self.nodes.get(id)?.kind {
            Kind::Directory(directory) => Some(directory),
            Kind::Other(_) => None,
        }
    }

    pub(crate) fn directory_mut(&mut self, id: Id) -> Option<&mut Directory> {
        match &mut self.nodes.get_mut(id)?.kind {
            Kind::Directory(directory) => Some(directory),
            Kind::Other(_) => None,
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a node is never taken out of the list: attributes would be lost"
    )]
    pub(crate) fn attributes_mut(&mut self, id: Id) -> &mut Attributes {
        &mut self.nodes[id].attributes
    }

    /// Adds a node that no member is: a deletion.
    pub(crate) fn push(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn check_memory(&self) -> Result<(), Unfit> {
        match self.used_bytes > self.memory_bytes {
            true => Err(Unfit::TooLarge),
            false => Ok(()),
        }
    }
}
