//! What subvolumes occupy, and how much they may: quota groups.
//!
//! A count is of the last transaction: at most as old as the `commit` option of the mount says, 30 s usually.
//!
//! Invariant: only the group of a subvolume itself is used; groups of groups are the operator's.

use std::io;
use std::os::fd::BorrowedFd;

use super::arguments::{Limit, QuotaControl, call};
use super::search::{Found, Wanted};
use super::subvolume::{check_subvolume, id};
use crate::raw::is;

/// `BTRFS_QUOTA_TREE_OBJECTID`.
const QUOTA_TREE: u64 = 8;
/// `BTRFS_QGROUP_STATUS_KEY`, `BTRFS_QGROUP_INFO_KEY`, `BTRFS_QGROUP_LIMIT_KEY`.
const STATUS: u32 = 240;
const INFO: u32 = 242;
const LIMIT: u32 = 244;
/// `BTRFS_QGROUP_STATUS_FLAG_ON`, `_RESCAN` and `_INCONSISTENT`.
const FLAG_ON: u64 = 1;
const FLAGS_COUNTING: u64 = 2 | 4;
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
/// ENOTTY when it is no btrfs.
pub fn quota(node: BorrowedFd<'_>) -> io::Result<Quota> {
    let Some(status) = search(node, STATUS, 0)? else {
        return Ok(Quota::Off);
    };
    // Version and generation come first.
    let flags = status.item().and_then(|item| item.u64_at(16)).unwrap_or(0);
    Ok(match flags {
        off if off & FLAG_ON == 0 => Quota::Off,
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

/// Bounds the bytes that a subvolume may reach; `None` takes the bound away. Beyond it writing is EDQUOT.
///
/// # Errors
/// EINVAL when it is no subvolume, ENOTCONN when the file system does not count.
pub fn set_limit(subvolume: BorrowedFd<'_>, bytes: Option<u64>) -> io::Result<()> {
    check_subvolume(subvolume)?;
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

/// What a subvolume occupies; `None` while the file system does not count, or has not counted all yet.
///
/// # Errors
/// EINVAL when it is no subvolume.
pub fn usage(subvolume: BorrowedFd<'_>) -> io::Result<Option<Usage>> {
    check_subvolume(subvolume)?;
    if quota(subvolume)? != Quota::On {
        return Ok(None);
    }
    let group = id(subvolume)?;
    let Some(info) = search(subvolume, INFO, group)? else {
        return Ok(None);
    };
    // The generation comes first; beside each number stands its compressed one.
    let number = |found: &Found, at| found.item().and_then(|item| item.u64_at(at));
    let (Some(referenced_bytes), Some(exclusive_bytes)) = (number(&info, 8), number(&info, 24))
    else {
        return Ok(None);
    };
    let limit = search(subvolume, LIMIT, group)?;
    let limit_bytes = limit.and_then(|limit| {
        let is_set = number(&limit, 0)? & LIMIT_REFERENCED != 0;
        number(&limit, 8).filter(|bytes| is_set && *bytes != u64::MAX)
    });
    Ok(Some(Usage {
        referenced_bytes,
        exclusive_bytes,
        limit_bytes,
    }))
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
