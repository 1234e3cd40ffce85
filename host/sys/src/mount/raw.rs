//! The one mount system call that no library wraps.
//!
//! Invariant: one system call in one unsafe block.
#![expect(unsafe_code, reason = "neither rustix nor nix wraps mount_setattr")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw::check;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets `MOUNT_ATTR_*` flags of a mount by its descriptor, and makes its propagation private.
///
/// # Errors
/// ENOSYS before Linux 5.12.
pub(super) fn set_private_with(mount: BorrowedFd<'_>, flags: u64) -> io::Result<()> {
    let attributes = MountAttr {
        set: flags,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: the path is a valid NUL-terminated string, and `attributes` has the layout and size
    // that the kernel is told; the kernel only reads both.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    check(returned).map(drop)
}
