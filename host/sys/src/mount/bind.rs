//! One directory as a mount of its own.
//!
//! Invariant: only the directory's own mount is shown, never one that lies below it, and what is
//! mounted later in the original does not appear in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::CWD;
use rustix::mount::{
    MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, mount_remount, move_mount, open_tree,
};

use super::DetachedMount;
use super::namespace::in_private_namespace;
use super::raw::set_private_with;
use crate::raw::is;

/// What a mount lets processes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing can be changed.
    ReadOnly,
    /// Everything can be changed.
    ReadWrite,
}

/// Shows the directory `dir` as a detached mount of its own.
///
/// # Errors
/// What `open_tree` and `mount_setattr` say; EPERM without the right to mount.
pub fn bind(dir: BorrowedFd<'_>, access: Access) -> io::Result<DetachedMount> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let top = open_tree(dir, c"", flags)?;
    let attributes = match access {
        Access::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
        Access::ReadWrite => MountAttrFlags::empty(),
    };
    // Private, or a mount that is made later in the original would be propagated into this one.
    match set_private_with(top.as_fd(), u64::from(attributes.bits())) {
        Ok(()) => Ok(DetachedMount::new(top)),
        Err(error) if is(&error, libc::ENOSYS) => remounted(&DetachedMount::new(top), access),
        Err(error) => Err(error),
    }
}

/// Linux 5.6 to 5.11 cannot change a detached mount: it is attached where no one else sees it,
/// remounted there, and cloned from there.
pub(super) fn remounted(mount: &DetachedMount, access: Access) -> io::Result<DetachedMount> {
    let top = mount.root()?;
    in_private_namespace(|| {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        let clone_flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        // A mount becomes private by being attached below a private one.
        move_mount(&top, c"", CWD, c"/proc", flags)?;
        if access == Access::ReadOnly {
            mount_remount(c"/proc", MountFlags::BIND | MountFlags::RDONLY, c"")?;
        }
        Ok(DetachedMount::new(open_tree(CWD, c"/proc", clone_flags)?))
    })
}
