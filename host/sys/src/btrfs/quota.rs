//! What subvolumes occupy, and how much they may: quota groups.
//!
//! A count is of the last transaction: at most as old as the `commit` option of the mount says, 30 s usually.
//!
//! Simple quotas count something else: what was written by whoever was in a subvolume, for as long as anyone shares it, and
//! not what the subvolume was made with.
//!
//! Invariant: only the group of a subvolume itself is used; groups of groups are the operator's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::arguments::{Limit, QuotaControl, RemoveGroup, call};
use super::nested::open_all;
use super::root::is_there;
use super::search::{Found, Item, Wanted};
use super::subvolume::{check_subvolume, id};
use crate::raw::{is, os_error};

/// `BTRFS_QUOTA_TREE_OBJECTID`.
const QUOTA_TREE: u64 = 8;
/// `BTRFS_QGROUP_STATUS_KEY`, `BTRFS_QGROUP_INFO_KEY`, `BTRFS_QGROUP_LIMIT_KEY`.
const STATUS: u32 = 240;
const INFO: u32 = 242;
const LIMIT: u32 = 244;
/// `BTRFS_QGROUP_STATUS_FLAG_ON`, `_RESCAN` and `_INCONSISTENT`, `_SIMPLE_MODE`.
const FLAG_ON: u64 = 1;
const FLAGS_COUNTING: u64 = 2 | 4;
const FLAG_SIMPLE: u64 = 8;
/// Bits of a group's number; those above are its level, 0 for the groups of subvolumes.
const NUMBER_BITS: u32 = 48;
/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const LIMIT_REFERENCED: u64 = 1;

/// Whether a file system counts what its subvolumes occupy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// It does not.
    Off,
    /// It does, but the numbers are not right yet: it counts what was there before.
    Counting,
    /// It does.
    On,
    /// It counts only what each subvolume has written: simple quotas.
    Simple,
}

/// What a subvolume occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that it reaches.
    pub referenced_bytes: u64,
    /// Bytes that only it reaches: what its removal would free.
    pub exclusive_bytes: u64,
    /// Bytes that it may reach; `None` for any number.
    pub limit_bytes: Option<u64>,
}

/// Whether the file system of an open node counts, for this process.
///
/// # Errors
/// ENOTTY when it is no btrfs; EIO when its row of quotas is too short to have a state.
pub fn quota(node: BorrowedFd<'_>) -> io::Result<Quota> {
    let Some(status) = search(node, STATUS, 0)? else {
        return Ok(Quota::Off);
    };
    // Version and generation come first.
    let flags = status.item().and_then(|item| item.u64_at(16));
    let flags = flags.ok_or_else(|| os_error(libc::EIO))?;
    Ok(match flags {
        off if off & FLAG_ON == 0 => Quota::Off,
        simple if simple & FLAG_SIMPLE != 0 => Quota::Simple,
        counting if counting & FLAGS_COUNTING != 0 => Quota::Counting,
        _ => Quota::On,
    })
}

/// Lets the file system count, also what is there already. That it does so already is no error.
///
/// # Errors
/// EPERM without the capability for it.
pub fn enable_quota(node: BorrowedFd<'_>) -> io::Result<()> {
    match call(node, &mut QuotaControl::enable()) {
        Err(error) if is(&error, libc::EEXIST) => Ok(()),
        done => done,
    }
}

/// Bounds the bytes that a subvolume and those within it may reach together; `None` takes the bound away. Beyond it writing
/// is EDQUOT. A group bounds one subvolume, so each gets what the others leave: together they can grow beyond the bound
/// until this is called again, and so can those that are made meanwhile.
///
/// # Errors
/// EINVAL when it is no subvolume, ENOTCONN when the file system does not count.
pub fn set_limit_within(subvolume: BorrowedFd<'_>, bytes: Option<u64>) -> io::Result<()> {
    check_subvolume(subvolume)?;
    let all = open_all(subvolume)?;
    let taken = |of: &OwnedFd| -> io::Result<u64> {
        let found = usage(of.as_fd())?;
        Ok(found.map_or(0, |usage| usage.referenced_bytes))
    };
    // Most have none within: what they occupy themselves does not matter then.
    let taken = match (bytes, all.len()) {
        (Some(_), 2..) => all.iter().map(taken).collect::<io::Result<Vec<_>>>()?,
        _ => vec![0; all.len()],
    };
    let total: u64 = taken.iter().sum();
    for (subvolume, own) in all.iter().zip(taken) {
        let left = bytes.map(|bytes| bytes.saturating_sub(total - own));
        set_limit(subvolume.as_fd(), left)?;
    }
    Ok(())
}

fn set_limit(subvolume: BorrowedFd<'_>, bytes: Option<u64>) -> io::Result<()> {
    let mut limit = Limit {
        group: id(subvolume)?,
        flags: LIMIT_REFERENCED,
        // All ones is how a bound is taken away.
        referenced: bytes.unwrap_or(u64::MAX),
        exclusive: 0,
        reserved: [0; 2],
    };
    call(subvolume, &mut limit)
}

/// What a subvolume and those within it occupy; `None` while the file system does not count, or has not counted all yet.
/// With simple quotas both numbers are the bytes that were written in them since they were made.
///
/// # Errors
/// EINVAL when it is no subvolume.
pub fn usage_within(subvolume: BorrowedFd<'_>) -> io::Result<Option<Usage>> {
    check_subvolume(subvolume)?;
    let mut sum: Option<Usage> = None;
    for subvolume in open_all(subvolume)? {
        let Some(found) = usage(subvolume.as_fd())? else {
            return Ok(None);
        };
        sum = Some(sum.map_or(found, |sum| Usage {
            referenced_bytes: sum.referenced_bytes.saturating_add(found.referenced_bytes),
            exclusive_bytes: sum.exclusive_bytes.saturating_add(found.exclusive_bytes),
            limit_bytes: sum.limit_bytes,
        }));
    }
    Ok(sum)
}

fn usage(subvolume: BorrowedFd<'_>) -> io::Result<Option<Usage>> {
    if !matches!(quota(subvolume)?, Quota::On | Quota::Simple) {
        return Ok(None);
    }
    let group = id(subvolume)?;
    let Some(info) = search(subvolume, INFO, group)? else {
        return Ok(None);
    };
    let Some((referenced_bytes, exclusive_bytes)) = info.item().and_then(|item| counted(&item))
    else {
        return Ok(None);
    };
    let limit = search(subvolume, LIMIT, group)?;
    let limit_bytes = limit.and_then(|limit| {
        let item = limit.item()?;
        let is_set = item.u64_at(0)? & LIMIT_REFERENCED != 0;
        item.u64_at(8).filter(|bytes| is_set && *bytes != u64::MAX)
    });
    Ok(Some(Usage {
        referenced_bytes,
        exclusive_bytes,
        limit_bytes,
    }))
}

/// Bytes that are referenced, and those exclusively.
fn counted(item: &Item<'_>) -> Option<(u64, u64)> {
    // The generation comes first; beside each number stands its compressed one.
    Some((item.u64_at(8)?, item.u64_at(24)?))
}

/// Removes the groups of subvolumes that are gone, as `btrfs qgroup clear-stale` does. With simple quotas a group stays for
/// as long as others share what its subvolume wrote, and no one removes it afterwards.
///
/// # Errors
/// What searching says; a group that cannot be removed is left.
pub fn remove_stale_groups(node: BorrowedFd<'_>) -> io::Result<()> {
    let mut stale = Vec::new();
    let wanted = Wanted::one(QUOTA_TREE, 0, INFO);
    wanted.each(node, &|| true, &mut |item| {
        let is_level_0 = item.offset >> NUMBER_BITS == 0;
        if is_level_0 && counted(item) == Some((0, 0)) && !is_there(node, item.offset)? {
            stale.push(item.offset);
        }
        Ok(())
    })?;
    for group in stale {
        let _kept = call(node, &mut RemoveGroup::new(group));
    }
    Ok(())
}

/// Looks an item of the quota tree up. Where quotas are off there is no such tree, and in a user namespace no one may
/// look: nothing can be counted or bounded there.
fn search(node: BorrowedFd<'_>, kind: u32, offset: u64) -> io::Result<Option<Found>> {
    let wanted = Wanted::one(QUOTA_TREE, 0, kind).at(offset);
    match wanted.find(node) {
        Ok(found) => Ok(found.item().is_some().then_some(found)),
        Err(error) if [libc::ENOENT, libc::EPERM].iter().any(|no| is(&error, *no)) => Ok(None),
        Err(error) => Err(error),
    }
}
