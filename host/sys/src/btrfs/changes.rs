//! What a subvolume has beyond the one that it is a snapshot of.
//!
//! Every node has an item in its subvolume's tree that tells its transaction, and the tree says where the new ones lie:
//! nothing is walked, and what did not change is not even read. What was written is in it once it is on the device: the
//! kernel waits for that up to half a minute, and for the transaction as long again.
//!
//! A node counts if it is new, or if its mode, owner or device is another than in the original; if it is no directory,
//! its size or time too. Nodes are compared, not names: what was only moved, linked or read takes nothing. Blocks count
//! in full, as `stat` tells them, also where the original shares some.
//!
//! Invariant: reads items only, so that nothing can be moved out from under it; a subvolume within another is compared
//! with the one that the original has at that place.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::fstatfs;

use super::root::{ROOT_TREE, Root};
use super::search::{Item, Wanted};
use super::subvolume::{TOP_INODE, id_of};
use crate::raw::{is, os_error};
use crate::tree::Measured;

/// `BTRFS_LAST_FREE_OBJECTID`: the last number that a node may have.
const LAST_INODE: u64 = 256_u64.wrapping_neg();
/// `BTRFS_INODE_ITEM_KEY`, `BTRFS_ROOT_REF_KEY`.
const INODE: u32 = 1;
const REFERENCE: u32 = 156;

/// Sums up what a subvolume, and those within it, have beyond `original`; without an original all that they have.
/// `go_on` is asked again and again. `None` where this process may not search.
///
/// # Errors
/// EINVAL when one is no subvolume; `Interrupted` once `go_on` says no.
pub fn measure_changes(
    subvolume: BorrowedFd<'_>,
    original: Option<BorrowedFd<'_>>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<Measured>> {
    let tree = id_of(subvolume)?;
    let original = original.map(id_of).transpose()?;
    let count = Count {
        node: subvolume,
        go_on,
        block_bytes: u64::try_from(fstatfs(subvolume)?.f_bsize).unwrap_or(1),
        measured: Measured::default(),
    };
    match count.all(tree, original) {
        Err(error) if is(&error, libc::EPERM) => Ok(None),
        counted => counted.map(Some),
    }
}

struct Count<'a> {
    node: BorrowedFd<'a>,
    go_on: &'a dyn Fn() -> bool,
    /// What the file system allocates at least.
    block_bytes: u64,
    measured: Measured,
}

/// What a subvolume's nodes are compared with.
struct Original {
    tree: u64,
    /// What is of this transaction or before is in the original as well.
    shared_until: u64,
    /// What was made after this one is not.
    complete_at: u64,
}

impl Count<'_> {
    fn all(mut self, tree: u64, original: Option<u64>) -> io::Result<Measured> {
        let mut pending = self.one(tree, original, original.is_some())?;
        while let Some((tree, original)) = pending.pop() {
            match self.one(tree, original, false) {
                // Someone removed it meanwhile.
                Err(error) if is(&error, libc::ENOENT) => {}
                below => pending.extend(below?),
            }
        }
        Ok(self.measured)
    }

    /// Counts the nodes of one subvolume, and tells which lie directly within it, each with its original.
    fn one(
        &mut self,
        tree: u64,
        original: Option<u64>,
        skips_top: bool,
    ) -> io::Result<Vec<(u64, Option<u64>)>> {
        let compared = original.map(|original| self.original(tree, original));
        self.nodes(tree, compared.transpose()?.as_ref(), skips_top)?;
        let pairs = original.map(|original| self.within(original));
        let pairs = pairs.transpose()?.unwrap_or_default();
        let below = self.within(tree)?.into_iter();
        Ok(below
            .map(|(place, tree)| (tree, pairs.get(&place).copied()))
            .collect())
    }

    /// How a subvolume came from its original.
    fn original(&self, tree: u64, original: u64) -> io::Result<Original> {
        let (own, from) = (Root::of(self.node, tree)?, Root::of(self.node, original)?);
        let is_direct = own.parent == from.uuid && from.uuid != [0; 16];
        let (shared_until, complete_at) = if is_direct {
            (own.born, own.born)
        } else if own.born > from.born {
            // A copy of a snapshot was born later than its changes, but these are younger than the original.
            (from.born, u64::MAX)
        } else {
            (0, u64::MAX)
        };
        Ok(Original {
            tree: original,
            shared_until,
            complete_at,
        })
    }

    fn nodes(&mut self, tree: u64, original: Option<&Original>, skips_top: bool) -> io::Result<()> {
        let since = original.map_or(0, |original| original.shared_until + 1);
        let wanted = Wanted::of(tree, TOP_INODE..=LAST_INODE, INODE).since(since);
        let (node, go_on) = (self.node, self.go_on);
        wanted.each(node, go_on, &mut |item| {
            let inode = Inode::read(item)?;
            // Without a name it is open at most.
            let is_there = inode.links > 0 && inode.transaction >= since;
            if !is_there || (skips_top && item.object == TOP_INODE) {
                return Ok(());
            }
            if let Some(original) = original
                && self.is_in(original, item.object, &inode)?
            {
                return Ok(());
            }
            self.measured.inodes += 1;
            let bytes = inode.bytes.checked_next_multiple_of(self.block_bytes);
            self.measured.bytes = self
                .measured
                .bytes
                .saturating_add(bytes.unwrap_or(u64::MAX));
            Ok(())
        })
    }

    /// Whether the original has a node as it is.
    fn is_in(&self, original: &Original, object: u64, inode: &Inode) -> io::Result<bool> {
        if inode.generation > original.complete_at {
            return Ok(false);
        }
        if !(self.go_on)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let found = Wanted::one(original.tree, object, INODE).find(self.node)?;
        match found.item() {
            Some(item) => Ok(Inode::read(&item)?.is_same(inode)),
            None => Ok(false),
        }
    }

    /// The subvolumes directly within one, by their places.
    fn within(&self, tree: u64) -> io::Result<BTreeMap<Place, u64>> {
        let mut found = BTreeMap::new();
        let wanted = Wanted::one(ROOT_TREE, tree, REFERENCE);
        wanted.each(self.node, self.go_on, &mut |item| {
            let place = place(item).ok_or_else(|| os_error(libc::EIO))?;
            found.insert(place, item.offset);
            Ok(())
        })?;
        Ok(found)
    }
}

/// What `struct btrfs_inode_item` says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode {
    /// The transaction that made it.
    generation: u64,
    /// The one that changed it last.
    transaction: u64,
    size: u64,
    /// Of allocated blocks.
    bytes: u64,
    links: u32,
    owner: [u32; 2],
    mode: u32,
    device: u64,
    /// Seconds and nanoseconds.
    modified: [u8; 12],
}

impl Inode {
    fn read(item: &Item<'_>) -> io::Result<Self> {
        Self::parse(item).ok_or_else(|| os_error(libc::EIO))
    }

    fn parse(item: &Item<'_>) -> Option<Self> {
        Some(Self {
            generation: item.u64_at(0)?,
            transaction: item.u64_at(8)?,
            size: item.u64_at(16)?,
            bytes: item.u64_at(24)?,
            links: item.u32_at(40)?,
            owner: [item.u32_at(44)?, item.u32_at(48)?],
            mode: item.u32_at(52)?,
            device: item.u64_at(56)?,
            modified: item.bytes_at(136)?,
        })
    }

    /// Whether this is the same node, and nothing was done to it that counts.
    fn is_same(&self, other: &Self) -> bool {
        let what = |inode: &Self| (inode.generation, inode.mode, inode.owner, inode.device);
        let content = |inode: &Self| (inode.size, inode.modified);
        let is_directory = self.mode & libc::S_IFMT == libc::S_IFDIR;
        what(self) == what(other) && (is_directory || content(self) == content(other))
    }
}

/// Where a subvolume hangs in another: the directory's number, and the name in it.
type Place = (u64, Vec<u8>);

/// What `struct btrfs_root_ref` says.
fn place(item: &Item<'_>) -> Option<Place> {
    // A sequence number and the name's length lie between.
    Some((item.u64_at(0)?, item.rest_at(18)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(mode: u32) -> Inode {
        Inode {
            generation: 7,
            transaction: 9,
            size: 10,
            bytes: 10,
            links: 1,
            owner: [1, 2],
            mode,
            device: 0,
            modified: [3; 12],
        }
    }

    #[test]
    fn a_node_is_the_same_unless_something_that_counts_was_done_to_it() {
        type Change = fn(&mut Inode);
        // What was done, and whether that counts of a file, and of a directory.
        let changes: [(Change, bool, bool); 9] = [
            (|inode| inode.generation = 8, true, true),
            (|inode| inode.mode |= 0o7, true, true),
            (|inode| inode.owner = [1, 3], true, true),
            (|inode| inode.device = 1, true, true),
            (|inode| inode.size = 11, true, false),
            (|inode| inode.modified = [4; 12], true, false),
            (|inode| inode.transaction = 10, false, false),
            (|inode| inode.links = 2, false, false),
            (|inode| inode.bytes = 4096, false, false),
        ];
        for (number, (change, of_file, of_directory)) in changes.into_iter().enumerate() {
            for (mode, counts) in [(0o100_640, of_file), (0o040_750, of_directory)] {
                let (before, mut after) = (inode(mode), inode(mode));
                change(&mut after);
                assert_eq!(!after.is_same(&before), counts, "{number} {mode:o}");
            }
        }
    }
}
