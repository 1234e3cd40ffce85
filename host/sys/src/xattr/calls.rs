//! The system calls for extended attributes, each in the form that the kernel at hand has.
//!
//! Invariant: one system call for each function, but for the first one of a process, which finds
//! out what the kernel has.
#![expect(
    unsafe_code,
    reason = "neither rustix nor libc wraps the *xattrat calls"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use rustix::fs::{
    XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, lgetxattr, llistxattr,
    lremovexattr, lsetxattr,
};

use crate::Name;
use crate::raw::{check, entry_path};

const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_GETXATTRAT: libc::c_long = 464;
const SYS_LISTXATTRAT: libc::c_long = 465;
const SYS_REMOVEXATTRAT: libc::c_long = 466;

/// Whose attributes are meant.
pub(super) enum Target<'a> {
    /// An open node; its descriptor must not be an O_PATH one.
    Open(BorrowedFd<'a>),
    /// A name in an open directory.
    Entry(BorrowedFd<'a>, &'a Name),
}

/// `struct xattr_args` of `linux/xattr.h`.
#[repr(C, align(8))]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

/// Whether the kernel has `getxattrat` and its sisters (Linux 6.13). Asked once.
pub(crate) fn has_at_calls() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the path is a valid NUL-terminated string, and with size 0 the kernel writes
        // nothing through the null pointer.
        let returned = unsafe {
            libc::syscall(
                SYS_LISTXATTRAT,
                libc::AT_FDCWD,
                c"/".as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
                std::ptr::null_mut::<u8>(),
                0_usize,
            )
        };
        match check(returned) {
            Ok(_) => true,
            // A seccomp filter that does not know the call may say EPERM.
            Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)),
        }
    })
}

/// Fills `buffer` with the names, each with a NUL byte after it, and says how many bytes they take.
pub(super) fn list(target: &Target<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    match target {
        Target::Open(fd) => Ok(flistxattr(fd, buffer)?),
        Target::Entry(dir, name) if has_at_calls() => list_at(*dir, name, buffer),
        Target::Entry(dir, name) => list_through_path(*dir, name, buffer),
    }
}

/// Fills `buffer` with the value and says how many bytes it has.
pub(super) fn get(target: &Target<'_>, key: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    match target {
        Target::Open(fd) => Ok(fgetxattr(fd, key, buffer)?),
        Target::Entry(dir, name) if has_at_calls() => get_at(*dir, name, key, buffer),
        Target::Entry(dir, name) => get_through_path(*dir, name, key, buffer),
    }
}

/// Adds or replaces.
pub(super) fn set(target: &Target<'_>, key: &CStr, value: &[u8]) -> io::Result<()> {
    match target {
        Target::Open(fd) => Ok(fsetxattr(fd, key, value, XattrFlags::empty())?),
        Target::Entry(dir, name) if has_at_calls() => set_at(*dir, name, key, value),
        Target::Entry(dir, name) => set_through_path(*dir, name, key, value),
    }
}

/// Removes.
pub(super) fn remove(target: &Target<'_>, key: &CStr) -> io::Result<()> {
    match target {
        Target::Open(fd) => Ok(fremovexattr(fd, key)?),
        Target::Entry(dir, name) if has_at_calls() => remove_at(*dir, name, key),
        Target::Entry(dir, name) => Ok(lremovexattr(entry_path(*dir, name), key)?),
    }
}

pub(super) fn list_at(dir: BorrowedFd<'_>, name: &Name, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the name is a valid NUL-terminated string, and the kernel writes at most
    // `buffer.len()` bytes into the buffer, which is borrowed mutably for the call.
    let returned = unsafe {
        libc::syscall(
            SYS_LISTXATTRAT,
            dir.as_raw_fd(),
            name.as_c_str().as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    check(returned)
}

pub(super) fn get_at(
    dir: BorrowedFd<'_>,
    name: &Name,
    key: &CStr,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut args = XattrArgs {
        value: address(buffer.as_mut_ptr()),
        size: length(buffer)?,
        flags: 0,
    };
    // SAFETY: both strings end with NUL, `args` has the layout and size that the kernel is told,
    // and the kernel writes at most `args.size` bytes into the buffer, which is borrowed mutably.
    let returned = unsafe {
        libc::syscall(
            SYS_GETXATTRAT,
            dir.as_raw_fd(),
            name.as_c_str().as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            key.as_ptr(),
            &raw mut args,
            size_of::<XattrArgs>(),
        )
    };
    check(returned)
}

pub(super) fn set_at(dir: BorrowedFd<'_>, name: &Name, key: &CStr, value: &[u8]) -> io::Result<()> {
    let args = XattrArgs {
        value: address(value.as_ptr()),
        size: length(value)?,
        flags: 0,
    };
    // SAFETY: both strings end with NUL, `args` has the layout and size that the kernel is told,
    // and the kernel only reads `args.size` bytes of the value, which outlives the call.
    let returned = unsafe {
        libc::syscall(
            SYS_SETXATTRAT,
            dir.as_raw_fd(),
            name.as_c_str().as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            key.as_ptr(),
            &raw const args,
            size_of::<XattrArgs>(),
        )
    };
    check(returned).map(drop)
}

fn remove_at(dir: BorrowedFd<'_>, name: &Name, key: &CStr) -> io::Result<()> {
    // SAFETY: both strings end with NUL and outlive the call, which only reads them.
    let returned = unsafe {
        libc::syscall(
            SYS_REMOVEXATTRAT,
            dir.as_raw_fd(),
            name.as_c_str().as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            key.as_ptr(),
        )
    };
    check(returned).map(drop)
}

pub(super) fn list_through_path(
    dir: BorrowedFd<'_>,
    name: &Name,
    buffer: &mut [u8],
) -> io::Result<usize> {
    Ok(llistxattr(entry_path(dir, name), buffer)?)
}

pub(super) fn get_through_path(
    dir: BorrowedFd<'_>,
    name: &Name,
    key: &CStr,
    buffer: &mut [u8],
) -> io::Result<usize> {
    Ok(lgetxattr(entry_path(dir, name), key, buffer)?)
}

pub(super) fn set_through_path(
    dir: BorrowedFd<'_>,
    name: &Name,
    key: &CStr,
    value: &[u8],
) -> io::Result<()> {
    Ok(lsetxattr(
        entry_path(dir, name),
        key,
        value,
        XattrFlags::empty(),
    )?)
}

/// A pointer as the kernel's structures carry it.
fn address(pointer: *const u8) -> u64 {
    pointer.expose_provenance() as u64
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_large| io::Error::from_raw_os_error(libc::E2BIG))
}
