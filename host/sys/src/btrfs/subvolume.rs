//! Single subvolumes.
//!
//! Invariant: nothing here looks below the subvolume that it is given.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::MAGIC;
use super::arguments::{
    Create, Destroy, GetFlags, Lookup, RemoveGroup, SetFlags, Snapshot, StartSync, call,
};
use super::quota::{Quota, quota, remove_stale_groups};
use crate::filesystem::statfs;
use crate::node::{self, Attributes, Kind};
use crate::raw::os_error;
use crate::{Name, node::open_directory};

/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 2;
/// `BTRFS_FIRST_FREE_OBJECTID`: the inode number of every subvolume's top, and of no other node.
pub(super) const TOP_INODE: u64 = 256;

/// `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`: the inode number of the directory that a snapshot shows in the place of a subvolume.
const PLACEHOLDER_INODE: u64 = 2;

/// Whether a directory of an inode number, which lies in an open directory or is it, stands for a subvolume that a snapshot
/// does not hold. Whatever is set on it is not kept, and its time is that of the look.
pub(crate) fn is_placeholder(near: BorrowedFd<'_>, inode: u64) -> io::Result<bool> {
    Ok(inode == PLACEHOLDER_INODE && statfs(near)?.magic == MAGIC)
}

/// Whether an open directory is the top of a subvolume.
pub fn is_subvolume(directory: BorrowedFd<'_>) -> io::Result<bool> {
    is_top(directory, &node::stat_fd(directory)?)
}

/// Whether an open node with these attributes is the top of a subvolume.
pub(crate) fn is_top(node: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<bool> {
    Ok(attributes.kind == Kind::Directory
        && attributes.inode == TOP_INODE
        && statfs(node)?.magic == MAGIC)
}

/// Refuses what is not the top of a subvolume: old kernels would take the whole subvolume that it lies in.
pub(super) fn check_subvolume(directory: BorrowedFd<'_>) -> io::Result<()> {
    if is_subvolume(directory)? {
        Ok(())
    } else {
        Err(os_error(libc::EINVAL))
    }
}

/// Makes an empty subvolume with exactly the permission bits `mode`, and opens it.
///
/// # Errors
/// EEXIST when the name is taken, ENOTTY when it is no btrfs.
pub fn create(directory: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<OwnedFd> {
    call(directory, &mut Create::new(name)?)?;
    let made = open_directory(directory, name)?;
    node::disinherit(directory, made.as_fd())?;
    node::set_mode_fd(made.as_fd(), mode)?;
    Ok(made)
}

/// Makes a snapshot of a subvolume that can be changed, and opens it. Subvolumes within the original are empty
/// directories in it.
///
/// # Errors
/// EINVAL when the original is no subvolume, EEXIST when the name is taken, EXDEV when the two lie on different file
/// systems.
pub fn snapshot(
    original: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &Name,
) -> io::Result<OwnedFd> {
    check_subvolume(original)?;
    call(directory, &mut Snapshot::new(original, 0, name)?)?;
    open_directory(directory, name)
}

/// Removes a subvolume with its content, which may be read-only. The kernel deletes the content in the background.
///
/// # Errors
/// EINVAL when the name is no subvolume, ENOTEMPTY when there are subvolumes within it, EBUSY when something is mounted
/// on it, EPERM without the capability for it.
pub fn destroy(directory: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let opened = open_directory(directory, name)?;
    check_subvolume(opened.as_fd())?;
    let group = id(opened.as_fd())?;
    drop(opened);
    call(directory, &mut Destroy::new(name)?)?;
    let quota = quota(directory);
    if !matches!(quota, Ok(Quota::Off)) {
        // Newer kernels do it themselves when the content is gone; older ones would keep the count for ever.
        let _gone = call(directory, &mut RemoveGroup::new(group));
    }
    if matches!(quota, Ok(Quota::Simple)) {
        // Now may be gone what others shared with one that was removed before.
        let _left = remove_stale_groups(directory);
    }
    Ok(())
}

/// The number of the subvolume that an open node lies in.
pub(super) fn id(node: BorrowedFd<'_>) -> io::Result<u64> {
    let mut lookup = Lookup::new(TOP_INODE);
    call(node, &mut lookup)?;
    Ok(lookup.tree)
}

/// The number of a subvolume.
///
/// # Errors
/// EINVAL for a directory that is none.
pub fn id_of(subvolume: BorrowedFd<'_>) -> io::Result<u64> {
    check_subvolume(subvolume)?;
    id(subvolume)
}

/// Whether a subvolume refuses every change.
pub fn is_read_only(subvolume: BorrowedFd<'_>) -> io::Result<bool> {
    check_subvolume(subvolume)?;
    let mut flags = GetFlags::default();
    call(subvolume, &mut flags)?;
    Ok(flags.0 & READ_ONLY != 0)
}

/// Lets a subvolume refuse every change, or allow it again.
pub fn set_read_only(subvolume: BorrowedFd<'_>, is_read_only: bool) -> io::Result<()> {
    check_subvolume(subvolume)?;
    let flags = if is_read_only { READ_ONLY } else { 0 };
    call(subvolume, &mut SetFlags(flags))
}

/// Lets the kernel write what was changed, without waiting for it: counts of usage then are of now.
pub fn start_sync(node: BorrowedFd<'_>) -> io::Result<()> {
    call(node, &mut StartSync::default())
}
