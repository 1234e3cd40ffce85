//! Making nodes, with exactly the mode that was asked for.
//!
//! Invariant: a name that exists, even as a dangling symbolic link, is EEXIST and stays as it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, makedev, mkdirat, mknodat, symlinkat};

use super::open::{open_confined, open_directory};
use super::{Kind, set_mode, set_mode_fd};
use crate::Name;
use crate::raw::os_error;

/// Makes a directory with exactly the permission bits `mode`, whatever the umask, and opens it.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_directory(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<OwnedFd> {
    // Closed to others until it has its mode; and with the owner's bits, so that it can be opened.
    mkdirat(dir, name.as_c_str(), Mode::RWXU)?;
    let made = open_directory(dir, name)?;
    set_mode_fd(made.as_fd(), mode)?;
    Ok(made)
}

/// Makes an empty regular file with exactly the permission bits `mode`, whatever the umask, and
/// opens it for reading and writing.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_regular(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let made = open_confined(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    set_mode_fd(made.as_fd(), mode)?;
    Ok(made)
}

/// Makes a symbolic link. The target is data: 1 to 4095 bytes without NUL, never resolved here.
///
/// # Errors
/// EEXIST when the name is taken, ENOENT for an empty target, ENAMETOOLONG for one that is too
/// long, EINVAL for one with a NUL byte.
pub fn create_symlink(dir: BorrowedFd<'_>, name: &Name, target: &[u8]) -> io::Result<()> {
    Ok(symlinkat(target, dir, name.as_c_str())?)
}

/// Makes a named pipe with exactly the permission bits `mode`.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_fifo(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<()> {
    create_special(dir, name, FileType::Fifo, 0, mode)
}

/// Makes a socket node that no process listens on, with exactly the permission bits `mode`.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_socket(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<()> {
    create_special(dir, name, FileType::Socket, 0, mode)
}

/// Makes a block or character device with exactly the permission bits `mode`.
///
/// # Errors
/// EEXIST when the name is taken, EINVAL when `kind` is no device or a number is out of range
/// (12 bits of major and 20 bits of minor number), EPERM without the capability for it.
pub fn create_device(
    dir: BorrowedFd<'_>,
    name: &Name,
    kind: Kind,
    major: u32,
    minor: u32,
    mode: u32,
) -> io::Result<()> {
    let file_type = match kind {
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharacterDevice => FileType::CharacterDevice,
        Kind::Regular | Kind::Directory | Kind::Symlink | Kind::Fifo | Kind::Socket => {
            return Err(os_error(libc::EINVAL));
        }
    };
    // The kernel keeps 12 and 20 bits and would silently make another device of larger numbers.
    if major > 0xfff || minor > 0xf_ffff {
        return Err(os_error(libc::EINVAL));
    }
    create_special(dir, name, file_type, makedev(major, minor), mode)
}

/// Makes an overlay whiteout: a character device 0:0 without any permission.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_whiteout(dir: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    Ok(mknodat(
        dir,
        name.as_c_str(),
        FileType::CharacterDevice,
        Mode::empty(),
        0,
    )?)
}

/// Makes a node that has no content.
fn create_special(
    dir: BorrowedFd<'_>,
    name: &Name,
    file_type: FileType,
    device: u64,
    mode: u32,
) -> io::Result<()> {
    mknodat(dir, name.as_c_str(), file_type, Mode::empty(), device)?;
    set_mode(dir, name, mode)
}
