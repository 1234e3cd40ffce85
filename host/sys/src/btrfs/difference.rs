//! Which names may differ between a snapshot and its original.
//!
//! Every node has an item in its subvolume's tree that tells the transaction of its last change, and the tree says where the
//! new ones lie. So a search finds the nodes that were touched since the snapshot was made, in either of the two, and items
//! beside them tell their names: what it costs depends on what was touched, and on the names in directories where names came
//! or went, not on the size of the trees.
//!
//! Invariant: whatever differs is found, or nothing is said; what is found may still be equal.
//!
//! See docs/decisions/0012-btrfs-is-asked-what-changed.md.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::os::fd::BorrowedFd;

use super::mark::{Origin, origin};
use super::root::{ROOT_TREE, Root};
use super::search::{Item, Wanted};
use super::subvolume::{TOP_INODE, id_of};
use crate::Name;
use crate::filesystem::sync;
use crate::node::Timestamp;
use crate::raw::{is, os_error};

/// `BTRFS_LAST_FREE_OBJECTID`: the last number that a node may have.
const LAST_INODE: u64 = 256_u64.wrapping_neg();
/// `BTRFS_INODE_ITEM_KEY`, `_REF_KEY`, `_EXTREF_KEY`, `BTRFS_DIR_INDEX_KEY`, `BTRFS_ROOT_REF_KEY`.
const INODE: u32 = 1;
const INODE_REFERENCE: u32 = 12;
const EXTENDED_REFERENCE: u32 = 13;
const DIRECTORY_INDEX: u32 = 96;
const ROOT_REFERENCE: u32 = 156;
/// Touched nodes that are looked at; with more a walk is as good.
const MOST_NODES: usize = 50_000;
/// Names of directories with new names that are read: as many as a walk would look at.
const MOST_NAMES: usize = 1_000_000;

/// What is known since a snapshot was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// When that was: in a step of the clock in which nodes of the original may have been touched still.
    pub made: Timestamp,
    /// The names that may differ, by the inode numbers of their directories, which are the same in both. `None` if that is
    /// not known.
    pub names: Option<BTreeMap<u64, BTreeSet<Vec<u8>>>>,
}

/// What is known since the snapshot `name` of `directory` was made of `original`; `None` unless it was made of that by what
/// is noted of it. `go_on` is asked again and again.
///
/// # Errors
/// EINVAL when one is no subvolume; `Interrupted` once `go_on` says no; what searching says.
pub fn since(
    directory: BorrowedFd<'_>,
    name: &Name,
    snapshot: BorrowedFd<'_>,
    original: BorrowedFd<'_>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<Since>> {
    let Some(noted) = origin(directory, name)? else {
        return Ok(None);
    };
    let trees = [id_of(snapshot)?, id_of(original)?];
    if Root::of(original, trees[1])?.uuid != noted.uuid {
        return Ok(None);
    }
    // What the kernel has put off is in no tree yet, and a write into a file does not touch its node before the content is on
    // the device: a commit of the transaction alone would not do.
    sync(snapshot)?;
    let search = Search {
        node: snapshot,
        go_on,
        trees,
        origin: noted,
        names: BTreeMap::new(),
        read: 0,
        climbed: HashSet::new(),
    };
    let names = match search.run() {
        // Or someone removed something meanwhile.
        Err(error) if [libc::E2BIG, libc::ENOENT].iter().any(|no| is(&error, *no)) => None,
        found => found?,
    };
    Ok(Some(Since {
        made: noted.made,
        names,
    }))
}

struct Search<'a> {
    node: BorrowedFd<'a>,
    go_on: &'a dyn Fn() -> bool,
    /// The snapshot and the original.
    trees: [u64; 2],
    origin: Origin,
    names: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    /// Names that were read so far.
    read: usize,
    /// Directories whose own names are among the names.
    climbed: HashSet<u64>,
}

/// What counts of a node here.
#[derive(Clone, Copy)]
struct Node {
    generation: u64,
    links: u32,
    is_directory: bool,
}

/// A name, behind the number of the directory that has it.
type Place = (u64, Vec<u8>);

/// Where a name leads: a number, and whether that is an inode's or a subvolume's.
type Entries = BTreeMap<Vec<u8>, [u8; 17]>;

impl Search<'_> {
    fn run(mut self) -> io::Result<Option<BTreeMap<u64, BTreeSet<Vec<u8>>>>> {
        for tree in self.trees {
            // Numbers of one subvolume mean nothing in another.
            if self.has_subvolumes(tree)? {
                return Ok(None);
            }
        }
        let touched = [self.touched(self.trees[0])?, self.touched(self.trees[1])?];
        let inodes: BTreeSet<u64> = touched.iter().flat_map(BTreeMap::keys).copied().collect();
        for inode in inodes {
            let in_both = [&touched[0], &touched[1]].map(|of| of.get(&inode).copied());
            if !self.add(inode, in_both)? {
                return Ok(None);
            }
        }
        let directories: Vec<u64> = self.names.keys().copied().collect();
        for directory in directories {
            self.climb(directory)?;
        }
        Ok(Some(self.names))
    }

    fn has_subvolumes(&self, tree: u64) -> io::Result<bool> {
        let wanted = Wanted::one(ROOT_TREE, tree, ROOT_REFERENCE);
        Ok(wanted.find(self.node)?.item().is_some())
    }

    /// The nodes that were touched since.
    fn touched(&self, tree: u64) -> io::Result<BTreeMap<u64, Node>> {
        let mut touched = BTreeMap::new();
        // What is of the snapshot's own transaction was written before it was made: a commit makes snapshots at its end. Leaves
        // of that transaction are not read: it may have brought all of the original.
        let after = self.origin.born + 1;
        let wanted = Wanted::of(tree, TOP_INODE..=LAST_INODE, INODE).since(after);
        wanted.each(self.node, self.go_on, &mut |item| {
            if item.u64_at(8).ok_or_else(damaged)? >= after {
                touched.insert(item.object, Node::of(item)?);
            }
            match touched.len() > MOST_NODES {
                true => Err(too_many()),
                false => Ok(()),
            }
        })?;
        Ok(touched)
    }

    /// Adds the names that may differ by a node that was touched in one tree, or in both; false if that cannot be told.
    fn add(&mut self, inode: u64, touched: [Option<Node>; 2]) -> io::Result<bool> {
        if touched.into_iter().flatten().any(|node| node.is_directory) {
            return self.add_directory(inode);
        }
        for (tree, node) in self.trees.into_iter().zip(touched) {
            // A name that is in the other tree alone came or went, which touched a directory.
            if node.is_some_and(|node| node.links > 0) {
                for (directory, name) in self.places(tree, inode)? {
                    self.names.entry(directory).or_default().insert(name);
                }
            }
        }
        Ok(true)
    }

    fn add_directory(&mut self, inode: u64) -> io::Result<bool> {
        let [new, old] = self.trees;
        match (self.find(new, inode)?, self.find(old, inode)?) {
            (Some(now), Some(before)) => {
                // In the place of a directory that was moved lies another, and below its new one what no one touched.
                let same = now.is_directory
                    && before.is_directory
                    && now.generation == before.generation
                    && (inode == TOP_INODE
                        || self.places(new, inode)? == self.places(old, inode)?);
                if same {
                    self.compare(inode)?;
                    self.climb(inode)?;
                }
                Ok(same)
            }
            // One that is new, or gone, is told by the one that it lies in.
            _ => Ok(true),
        }
    }

    /// Adds the names of a directory that are in one tree only, or lead elsewhere.
    fn compare(&mut self, directory: u64) -> io::Result<()> {
        let [new, old] = self.trees;
        let mut only = self.entries(old, directory)?;
        for (name, place) in self.entries(new, directory)? {
            if only.remove(&name) != Some(place) {
                self.names.entry(directory).or_default().insert(name);
            }
        }
        if !only.is_empty() {
            let names = self.names.entry(directory).or_default();
            names.extend(only.into_keys());
        }
        Ok(())
    }

    /// Adds the name of a directory, and those of the ones that it lies in.
    fn climb(&mut self, mut directory: u64) -> io::Result<()> {
        while directory != TOP_INODE && self.climbed.insert(directory) {
            let mut places = BTreeSet::new();
            for tree in self.trees {
                if places.is_empty() {
                    places = self.places(tree, directory)?;
                }
            }
            let Some((parent, name)) = places.pop_first() else {
                return Ok(());
            };
            self.names.entry(parent).or_default().insert(name);
            directory = parent;
        }
        Ok(())
    }

    fn find(&self, tree: u64, inode: u64) -> io::Result<Option<Node>> {
        let found = Wanted::one(tree, inode, INODE).find(self.node)?;
        found.item().map(|item| Node::of(&item)).transpose()
    }

    /// All names of a node, with the directories that have them.
    fn places(&self, tree: u64, inode: u64) -> io::Result<BTreeSet<Place>> {
        let mut places = BTreeSet::new();
        let mut links = None;
        // The node itself and its few names are one small answer.
        let wanted = Wanted::one(tree, inode, INODE).up_to(EXTENDED_REFERENCE);
        for item in wanted.find_some(self.node)?.items() {
            match item.kind {
                INODE => links = Some(Node::of(&item)?.links),
                INODE_REFERENCE | EXTENDED_REFERENCE => read_places(&item, &mut places)?,
                _ => {}
            }
        }
        if links.is_some_and(|links| u32::try_from(places.len()) == Ok(links)) {
            return Ok(places);
        }
        for kind in [INODE_REFERENCE, EXTENDED_REFERENCE] {
            let wanted = Wanted::one(tree, inode, kind);
            wanted.each(self.node, self.go_on, &mut |item| {
                read_places(item, &mut places)
            })?;
        }
        Ok(places)
    }

    /// The names in a directory.
    fn entries(&mut self, tree: u64, directory: u64) -> io::Result<Entries> {
        let mut entries = Entries::new();
        let room = MOST_NAMES - self.read;
        let wanted = Wanted::one(tree, directory, DIRECTORY_INDEX);
        wanted.each(self.node, self.go_on, &mut |item| {
            let place = item.bytes_at(0).ok_or_else(damaged)?;
            entries.insert(name_at(item, 27, 30)?, place);
            match entries.len() > room {
                true => Err(too_many()),
                false => Ok(()),
            }
        })?;
        self.read += entries.len();
        Ok(entries)
    }
}

impl Node {
    fn of(item: &Item<'_>) -> io::Result<Self> {
        let read = || {
            Some(Self {
                generation: item.u64_at(0)?,
                links: item.u32_at(40)?,
                is_directory: item.u32_at(52)? & libc::S_IFMT == libc::S_IFDIR,
            })
        };
        read().ok_or_else(damaged)
    }
}

/// Reads the names that one item holds.
fn read_places(item: &Item<'_>, places: &mut BTreeSet<Place>) -> io::Result<()> {
    let mut at = 0;
    while item.rest_at(at).is_some_and(|rest| !rest.is_empty()) {
        // An extended reference begins with the directory, which is the key of the other.
        let (directory, length) = match item.kind {
            INODE_REFERENCE => (item.offset, at + 8),
            _ => (item.u64_at(at).ok_or_else(damaged)?, at + 16),
        };
        let name = name_at(item, length, length + 2)?;
        at = length + 2 + name.len();
        places.insert((directory, name));
    }
    Ok(())
}

/// A name whose length of 16 bits stands at one place and whose bytes at another.
fn name_at(item: &Item<'_>, length: usize, at: usize) -> io::Result<Vec<u8>> {
    let bytes = item.bytes_at(length).map(u16::from_le_bytes);
    let name = bytes.and_then(|bytes| item.rest_at(at)?.get(..usize::from(bytes)));
    name.map(<[u8]>::to_vec).ok_or_else(damaged)
}

fn damaged() -> io::Error {
    os_error(libc::EIO)
}

/// Ends a search that is no better than a walk.
fn too_many() -> io::Error {
    os_error(libc::E2BIG)
}
