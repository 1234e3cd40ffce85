//! Where everything lies in the image.
//!
//! Invariant: inodes and what follows each of them come in the order of a breadth-first walk, blocks behind them in the
//! same order, so the image can be written from its beginning to its end.

use crate::chunks::Chunks;
use crate::directories;
use crate::format::{
    BLOCK, BLOCK_DEVICE, CHARACTER, CHUNK_INDEX, DIRECTORY, FIFO, FIRST_INODE, INODE, INODE_STEP,
    Layout, REGULAR, SYMLINK, align,
};
use crate::tree::{Content, Id, Kind, TOP, Tree, Unfit};
use crate::xattrs;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

/// What is written for one node.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) id: Id,
    /// The directory that it was found in first.
    pub(crate) above: Id,
    /// Where it lies, in bytes.
    pub(crate) at: u64,
    pub(crate) layout: Layout,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    pub(crate) names: u32,
    /// The first of its blocks, and their number.
    pub(crate) block: u64,
    pub(crate) blocks: u64,
    pub(crate) chunks: Option<Chunks>,
}

/// An image, ready to be written.
#[derive(Debug)]
pub struct Index {
    pub(crate) tree: Tree,
    pub(crate) inodes: Vec<Inode>,
    /// The index of each node's inode.
    pub(crate) inode_of: Vec<Option<usize>>,
    /// Where the blocks begin that lie behind the inodes.
    pub(crate) blocks_at: u64,
    pub(crate) length: u64,
}

impl Index {
    /// Bytes of the image: a multiple of 512.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Nodes of the image, deletions among them.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.inodes.len() as u64
    }

    pub(crate) fn place(mut tree: Tree) -> Result<Self, Unfit> {
        for node in &mut tree.nodes {
            xattrs::sort(&mut node.attributes.xattrs);
            if !xattrs::fits(&node.attributes.xattrs) {
                return Err(Unfit::Xattr);
            }
        }
        let mut index = Self {
            inode_of: vec![None; tree.nodes.len()],
            inodes: Vec::new(),
            tree,
            blocks_at: 0,
            length: 0,
        };
        index.number()?;
        index.count_names();
        index.place_inodes();
        index.place_blocks()?;
        Ok(index)
    }

    /// Gives each node that has a name an inode.
    fn number(&mut self) -> Result<(), Unfit> {
        self.add(TOP, TOP)?;
        let mut next = 0;
        while let Some(above) = self.inodes.get(next).map(|inode| inode.id) {
            next += 1;
            let directory = self.tree.directory(above);
            let children = directory.map(|directory| directory.children.values());
            let children: Vec<Id> = children.into_iter().flatten().copied().collect();
            for id in children {
                if self.inode_of.get(id).is_some_and(Option::is_none) {
                    self.add(id, above)?;
                }
            }
        }
        Ok(())
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "nodes and inodes are never taken out of their lists: a name would be left out of the image"
    )]
    fn add(&mut self, id: Id, above: Id) -> Result<(), Unfit> {
        let node = &self.tree.nodes[id];
        let (kind, size, chunks) = match &node.kind {
            Kind::Directory(directory) => {
                let names = directory.children.keys().map(Vec::as_slice);
                (DIRECTORY, directories::size(with_dots(names)), None)
            }
            Kind::Other(Content::File(data)) => {
                let chunks = match data.size {
                    0 => None,
                    _ => Some(Chunks::of(data)?),
                };
                (REGULAR, data.size, chunks)
            }
            Kind::Other(Content::Symlink(target)) => (SYMLINK, target.len() as u64, None),
            Kind::Other(Content::CharacterDevice(..)) => (CHARACTER, 0, None),
            Kind::Other(Content::BlockDevice(..)) => (BLOCK_DEVICE, 0, None),
            Kind::Other(Content::Fifo) => (FIFO, 0, None),
        };
        self.inode_of[id] = Some(self.inodes.len());
        self.inodes.push(Inode {
            id,
            above,
            at: 0,
            layout: Layout::Plain,
            mode: kind | node.attributes.mode,
            size,
            names: 0,
            block: 0,
            blocks: 0,
            chunks,
        });
        Ok(())
    }

    /// Directories count themselves, their name, and the `..` of each directory in them; others count their names.
    #[expect(
        clippy::indexing_slicing,
        reason = "nodes and inodes are never taken out of their lists: a name would be left out of the image"
    )]
    fn count_names(&mut self) {
        let mut names = vec![0_u32; self.inodes.len()];
        for (place, inode) in self.inodes.iter().enumerate() {
            let Some(directory) = self.tree.directory(inode.id) else {
                continue;
            };
            let mut own = 2;
            for id in directory.children.values() {
                let child = self.place_of(*id);
                match self.inodes[child].is_directory() {
                    true => own += 1,
                    false => names[child] += 1,
                }
            }
            names[place] = own;
        }
        for (inode, names) in self.inodes.iter_mut().zip(names) {
            inode.names = names;
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "nodes and inodes are never taken out of their lists: a name would be left out of the image"
    )]
    fn place_inodes(&mut self) {
        let mut at = FIRST_INODE;
        for inode in &mut self.inodes {
            let attributes = &self.tree.nodes[inode.id].attributes;
            let body = INODE + xattrs::area(&attributes.xattrs);
            let mut end = body;
            if let Some(chunks) = inode.chunks {
                inode.layout = Layout::Chunks;
                end = align(body, CHUNK_INDEX) + chunks.count * CHUNK_INDEX;
            } else if inode.has_bytes() {
                let tail = (inode.size - 1) % BLOCK + 1;
                at = beside_its_tail(at, body, tail);
                if (at + body) % BLOCK + tail <= BLOCK {
                    inode.layout = Layout::Inline;
                    inode.blocks = (inode.size - 1) / BLOCK;
                    end = body + tail;
                } else {
                    inode.blocks = inode.size.div_ceil(BLOCK);
                }
            }
            inode.at = at;
            at = align(at + end, INODE_STEP);
        }
        self.blocks_at = align(at, BLOCK);
    }

    fn place_blocks(&mut self) -> Result<(), Unfit> {
        let mut block = self.blocks_at / BLOCK;
        for inode in &mut self.inodes {
            inode.block = block;
            block += inode.blocks;
        }
        self.length = block * BLOCK;
        match u32::try_from(block) {
            Ok(_) => Ok(()),
            Err(_) => Err(Unfit::TooLarge),
        }
    }

    /// Which inode a node has.
    #[expect(
        clippy::indexing_slicing,
        reason = "nodes and inodes are never taken out of their lists: a name would be left out of the image"
    )]
    fn place_of(&self, id: Id) -> usize {
        self.inode_of[id].expect("whatever has a name was numbered")
    }

    /// The entries of a directory, sorted.
    #[expect(
        clippy::indexing_slicing,
        reason = "nodes and inodes are never taken out of their lists: a name would be left out of the image"
    )]
    pub(crate) fn entries(&self, inode: &Inode) -> Vec<directories::Entry<'_>> {
        let Some(directory) = self.tree.directory(inode.id) else {
            return Vec::new();
        };
        let entry = |name, id: Id| {
            let inode = &self.inodes[self.place_of(id)];
            directories::Entry {
                name,
                number: inode.at / INODE_STEP,
                mode: inode.mode,
            }
        };
        let dots = [(&b"."[..], inode.id), (&b".."[..], inode.above)];
        let children = directory.children.iter();
        let children = children.map(|(name, id)| (name.as_slice(), *id));
        let all = dots.into_iter().chain(children);
        let mut all: Vec<_> = all.map(|(name, id)| entry(name, id)).collect();
        all.sort_unstable_by_key(|entry| entry.name);
        all
    }
}

impl Inode {
    fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == DIRECTORY
    }

    /// Whether the image holds its content.
    pub(crate) fn has_bytes(&self) -> bool {
        matches!(self.mode & 0o170_000, DIRECTORY | SYMLINK) && self.size > 0
    }
}

/// Names with `.` and `..` in their places: a name may come before them.
fn with_dots<'a>(names: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut dots = [Some(&b"."[..]), Some(&b".."[..])];
    let mut names = names.peekable();
    core::iter::from_fn(move || {
        let first = dots.iter_mut().find(|dot| dot.is_some());
        match (first, names.peek()) {
            (Some(dot), Some(name)) if dot.is_some_and(|dot| dot < *name) => mem::take(dot),
            (Some(dot), None) => mem::take(dot),
            _ => names.next(),
        }
    })
}

/// Where an inode goes so that its last bytes, which must not lie in two blocks, begin a block if they do not fit into the
/// rest of one; if that cannot be, where it would have gone.
fn beside_its_tail(at: u64, body: u64, tail: u64) -> u64 {
    if (at + body) % BLOCK + tail <= BLOCK {
        return at;
    }
    let moved = align(align(at + body, BLOCK) - body, INODE_STEP);
    match (moved + body) % BLOCK + tail <= BLOCK {
        true => moved,
        false => at,
    }
}
