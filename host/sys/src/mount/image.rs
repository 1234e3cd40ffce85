//! EROFS images in files, mounted by descriptors.
//!
//! Invariant: what is mounted is what the descriptors hold, whatever their names lead to by now; nothing in an image runs,
//! takes the rights of its owner, or opens a device.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::DetachedMount;
use super::overlay::with_words;
use crate::raw::descriptor_path;

/// Mounts the image in the file `index`, whose contents lie in the file `data`, attached nowhere.
///
/// # Errors
/// ENODEV when the kernel has no EROFS; ENOTBLK, or EINVAL, when it mounts none from files of this file system (before Linux
/// 6.12 from none at all); what it says of the image.
pub fn image(index: BorrowedFd<'_>, data: BorrowedFd<'_>) -> io::Result<DetachedMount> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let configure = || {
        fsconfig_set_string(&context, "source", descriptor_path(index))?;
        fsconfig_set_string(&context, "device", descriptor_path(data))?;
        fsconfig_set_flag(&context, "ro")?;
        fsconfig_create(&context)
    };
    configure().map_err(|error| with_words(&context, error.into()))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let top = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| with_words(&context, error.into()))?;
    Ok(DetachedMount::new(top))
}
