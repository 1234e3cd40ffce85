//! Opening what is there.
//!
//! Invariant: every open is one `openat2` that cannot leave the directory it starts in.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::{Kind, stat_fd};
use crate::Name;
use crate::raw::{descriptor_path, is, os_error};

/// How often an open is repeated that a signal or a concurrent rename disturbed. The kernel gives
/// EAGAIN for less than 1 % of the opens even under a hostile rename loop.
const MAX_ATTEMPTS: usize = 128;

/// Opens `name` in `dir` without leaving `dir`: no link is followed and no mount is crossed.
///
/// # Errors
/// ELOOP for a symbolic link, EXDEV where a mount begins, and what `openat2` says.
pub(super) fn open_confined(
    dir: BorrowedFd<'_>,
    name: &Name,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    open_beneath(dir, name.as_c_str(), flags, mode)
}

fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    open_resolved(dir, path, flags, mode, RESOLVE)
}

/// What no look-up here does: leave the directory, follow a link, cross a mount.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

fn open_resolved(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    for _ in 0..MAX_ATTEMPTS {
        match openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens a directory in `dir` for reading.
///
/// # Errors
/// ELOOP for a symbolic link, ENOTDIR for any other node, EXDEV where a mount begins.
pub fn open_directory(dir: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    // Without O_NOFOLLOW: with it the kernel says ENOTDIR for a link, which hides what is there.
    // RESOLVE_NO_SYMLINKS refuses the link all the same.
    open_confined(dir, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

/// Opens the directory that these names lead to from `dir` on, for reading; without names `dir` once more.
///
/// # Errors
/// As [`open_directory`], for every name; ENAMETOOLONG for names of 4095 bytes together.
pub fn open_directory_along<'a>(
    dir: BorrowedFd<'_>,
    names: impl IntoIterator<Item = &'a Name>,
) -> io::Result<OwnedFd> {
    let mut path = b".".to_vec();
    for name in names {
        path.push(b'/');
        path.extend(name.as_bytes());
    }
    // A name has no NUL.
    let path = CString::new(path)?;
    open_beneath(
        dir,
        &path,
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )
}

/// Opens the top directory of what is mounted on the directory `name` of `dir`, or that directory itself.
///
/// # Errors
/// As [`open_directory`], but no EXDEV.
pub fn open_mounted(dir: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    let crossing = RESOLVE.difference(ResolveFlags::NO_XDEV);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    open_resolved(dir, name.as_c_str(), flags, Mode::empty(), crossing)
}

/// Opens a regular file in `dir` for reading. It neither blocks on a pipe nor opens a device: the
/// node is pinned first, looked at, and only then opened, so that nothing can be exchanged between.
///
/// # Errors
/// ELOOP for a symbolic link, EISDIR for a directory, EINVAL for any other node that is not a
/// regular file, EXDEV where a mount begins.
pub fn open_regular(dir: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    let pinned = open_confined(dir, name, OFlags::PATH, Mode::empty())?;
    check_regular(pinned.as_fd())?;
    Ok(openat(
        CWD,
        descriptor_path(pinned.as_fd()),
        READING | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// As [`open_regular`], in a directory of a mount that lets nobody open a device
/// ([`crate::mount::DetachedMount::forbid_devices`]): there the node can be opened first and looked at then, which takes less
/// than half of the time. A pipe is opened for a moment, without waiting for anyone.
///
/// # Errors
/// As [`open_regular`].
pub fn open_regular_at_once(dir: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    match open_confined(dir, name, READING, Mode::empty()) {
        Ok(opened) => check_regular(opened.as_fd()).map(|()| opened),
        // A device or a socket: the other way tells it from a file that may not be read.
        Err(error) if is(&error, libc::EACCES) || is(&error, libc::ENXIO) => {
            open_regular(dir, name)
        }
        Err(error) => Err(error),
    }
}

/// Waits for nobody, and no terminal becomes the process's own.
const READING: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Refuses what is no regular file.
fn check_regular(node: BorrowedFd<'_>) -> io::Result<()> {
    match stat_fd(node)?.kind {
        Kind::Regular => Ok(()),
        Kind::Directory => Err(os_error(libc::EISDIR)),
        Kind::Symlink => Err(os_error(libc::ELOOP)),
        Kind::BlockDevice | Kind::CharacterDevice | Kind::Fifo | Kind::Socket => {
            Err(os_error(libc::EINVAL))
        }
    }
}
