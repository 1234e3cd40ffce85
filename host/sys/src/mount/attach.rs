//! Detached mounts, and what makes them visible and invisible.
//!
//! Invariant: a mount is attached onto an open directory and unmounted below one, never by a path
//! that someone could exchange.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, openat, statx};
use rustix::mount::{
    MountAttrFlags, MoveMountFlags, UnmountFlags, move_mount, unmount as unmount_path,
};

use super::raw::set_private_with;
use super::statmount::has_statmount;
use crate::Name;
use crate::raw::entry_path;

/// A mount that no process sees. It vanishes on drop, unless it is attached.
#[derive(Debug)]
pub struct DetachedMount {
    top: OwnedFd,
}

/// A mount that was made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// The kernel's number for the mount: see [`mount_id`].
    pub mount_id: u64,
}

/// How to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Only when nothing uses the mount; else EBUSY.
    Plain,
    /// At once for new users; those that have it open keep it until they close.
    Detach,
}

impl DetachedMount {
    /// Takes over the descriptor of a mount that is attached nowhere.
    pub(super) fn new(top: OwnedFd) -> Self {
        Self { top }
    }

    /// Opens the top directory of the mount for reading. While that is open the mount lives on.
    pub fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.top, c".", flags, Mode::empty())?)
    }

    /// Lets nobody open a device through the mount, however it lies there.
    ///
    /// # Errors
    /// ENOSYS before Linux 5.12.
    pub fn forbid_devices(&self) -> io::Result<()> {
        let flags = MountAttrFlags::MOUNT_ATTR_NODEV.bits();
        set_private_with(self.top.as_fd(), u64::from(flags))
    }

    /// Makes the mount visible on top of the directory `target`. On failure it is gone.
    ///
    /// # Errors
    /// EINVAL when the target is no directory, or not in this process's mount table.
    pub fn attach(self, target: BorrowedFd<'_>) -> io::Result<Attached> {
        // Before it is attached: afterwards an error would leave a mount that nobody knows.
        let mount_id = mount_id(self.top.as_fd())?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.top, c"", target, c"", flags)?;
        Ok(Attached { mount_id })
    }
}

/// Unmounts what is mounted on `name` in `parent`. Nothing is followed, and no path above `parent`
/// is looked at.
///
/// # Errors
/// EBUSY when it is in use, EINVAL when nothing is mounted there, ENOENT.
pub fn unmount(parent: BorrowedFd<'_>, name: &Name, how: Unmount) -> io::Result<()> {
    let flags = match how {
        Unmount::Plain => UnmountFlags::NOFOLLOW,
        Unmount::Detach => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    Ok(unmount_path(entry_path(parent, name), flags)?)
}

/// The kernel's number for the mount that `fd` lies in. Where the kernel lists mounts by their
/// unique numbers (Linux 6.8) it is that one, which is never used again; else the old one, which
/// may be. [`super::mounts_below`] tells the same numbers.
///
/// # Errors
/// ENOSYS before Linux 5.8.
pub fn mount_id(fd: BorrowedFd<'_>) -> io::Result<u64> {
    const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
    let wanted = if has_statmount() {
        StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE)
    } else {
        StatxFlags::MNT_ID
    };
    let found = statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, wanted)?;
    // A kernel that does not know the field leaves it zero, which is the number of no mount.
    if found.stx_mask & wanted.bits() == 0 {
        return Err(crate::raw::os_error(libc::ENOSYS));
    }
    Ok(found.stx_mnt_id)
}
