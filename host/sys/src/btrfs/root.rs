//! What the tree of roots says of a subvolume.
//!
//! Invariant: reads items only.

use std::io;
use std::os::fd::BorrowedFd;

use super::search::{Item, Wanted};
use crate::node::Timestamp;
use crate::raw::os_error;

/// `BTRFS_ROOT_TREE_OBJECTID`.
pub(super) const ROOT_TREE: u64 = 1;
/// `BTRFS_UUID_TREE_OBJECTID`.
const UUID_TREE: u64 = 9;
/// `BTRFS_ROOT_ITEM_KEY`, `BTRFS_UUID_KEY_SUBVOL`.
const ROOT: u32 = 132;
const UUID: u32 = 251;
/// Snapshots of snapshots that are followed: a backup of a backup is one of two.
const GENERATIONS: usize = 16;

/// The number that a subvolume has on every file system where it was ever made once.
pub(super) type Uuid = [u8; 16];

/// What `struct btrfs_root_item` says of a subvolume.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) uuid: Uuid,
    /// Of the subvolume that it is a snapshot of; zeros for none.
    pub(super) parent: Uuid,
    /// Of the subvolume that it was received as a copy of; zeros for none.
    received: Uuid,
    /// The transaction that made it, and the time.
    pub(super) born: u64,
    pub(super) made: Timestamp,
}

impl Root {
    /// Looks a subvolume up by its number.
    ///
    /// # Errors
    /// ENOENT without such a subvolume, EPERM without the capability.
    pub(super) fn of(node: BorrowedFd<'_>, tree: u64) -> io::Result<Self> {
        let found = Wanted::one(ROOT_TREE, tree, ROOT).find(node)?;
        let item = found.item().ok_or_else(|| os_error(libc::ENOENT))?;
        Self::read(&item).ok_or_else(|| os_error(libc::EIO))
    }

    fn read(item: &Item<'_>) -> Option<Self> {
        Some(Self {
            uuid: item.bytes_at(247)?,
            parent: item.bytes_at(263)?,
            received: item.bytes_at(279)?,
            born: item.u64_at(303)?,
            made: time(item, 339)?,
        })
    }

    /// Whether it is the subvolume of a number, or was received as that, or is a snapshot of such a one, at however many
    /// removes, as long as those between are there.
    pub(super) fn stems_from(mut self, node: BorrowedFd<'_>, uuid: Uuid) -> io::Result<bool> {
        for _ in 0..GENERATIONS {
            if [self.uuid, self.received, self.parent].contains(&uuid) {
                return Ok(true);
            }
            let Some(tree) = tree_of(node, self.parent)? else {
                return Ok(false);
            };
            self = Self::of(node, tree)?;
        }
        Ok(false)
    }
}

/// What `struct btrfs_timespec` says.
fn time(item: &Item<'_>, at: usize) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: item.u64_at(at)?.cast_signed(),
        nanoseconds: item.u32_at(at + 8)?,
    })
}

/// Whether a subvolume of this number is there, or its content is still being deleted.
pub(super) fn is_there(node: BorrowedFd<'_>, tree: u64) -> io::Result<bool> {
    Ok(Wanted::one(ROOT_TREE, tree, ROOT)
        .find(node)?
        .item()
        .is_some())
}

fn tree_of(node: BorrowedFd<'_>, uuid: Uuid) -> io::Result<Option<u64>> {
    let number = u128::from_le_bytes(uuid);
    if number == 0 {
        return Ok(None);
    }
    let (halves, _nothing) = uuid.as_chunks();
    let [low, high] = halves else {
        return Ok(None);
    };
    let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
    let found = Wanted::one(UUID_TREE, low, UUID).at(high).find(node)?;
    Ok(found.item().and_then(|item| item.u64_at(0)))
}
