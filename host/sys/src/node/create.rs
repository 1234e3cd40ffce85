//! Making nodes, with exactly the rights that were asked for: whatever the umask, and whatever access list the directory
//! would hand down.
//!
//! Invariant: a name that exists, even as a dangling symbolic link, is EEXIST and stays as it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fgetxattr, fstat, makedev, mkdirat, mknodat, symlinkat};
use rustix::io::Errno;

use super::open::{open_confined, open_directory};
use super::{Kind, set_mode, set_mode_fd, set_owner_fd};
use crate::raw::{is, os_error};
use crate::{Name, xattr};

/// The access list of a node.
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
/// The access list that a directory hands down.
const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";

/// Makes a directory with exactly the permission bits `mode`, whatever the umask, and opens it.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_directory(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<OwnedFd> {
    // With the owner's bits, so that it can be opened.
    mkdirat(dir, name.as_c_str(), permissions(mode) | Mode::RWXU)?;
    let made = open_directory(dir, name)?;
    settle_rights(dir, made.as_fd(), mode)?;
    Ok(made)
}

/// What a node may be made with: neither set-id bits nor the sticky bit before all else is right.
fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o777)
}

/// Gives a node that was just made with its permission bits exactly the mode `mode` and no access list. Setting a mode is
/// written to the file system's journal and asking for it is not, so that is done only where the umask, the directory or a
/// set-id bit makes a difference.
fn settle_rights(dir: BorrowedFd<'_>, made: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    disinherit(dir, made)?;
    match fstat(made)?.st_mode & 0o7777 {
        found if found == mode & 0o7777 => Ok(()),
        _ => set_mode_fd(made, mode),
    }
}

/// Gives an open node an owner, unless it has it already and no set-id bit that this would take away. To look costs a fraction of
/// the change, and most of what archives hold is root's, as what is made here is. Capabilities of a file go with its owner only.
///
/// # Errors
/// Those of the change.
pub fn settle_owner(node: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let found = fstat(node)?;
    let has_set_id = found.st_mode & 0o6000 != 0;
    if (found.st_uid, found.st_gid) == (uid, gid) && !has_set_id {
        return Ok(());
    }
    set_owner_fd(node, uid, gid)
}

/// Takes away the access lists that a new node has from its directory: they give rights that no one asked for.
pub(crate) fn disinherit(dir: BorrowedFd<'_>, made: BorrowedFd<'_>) -> io::Result<()> {
    if hands_down(dir)? {
        for list in [ACCESS_LIST, DEFAULT_LIST] {
            absent_is_fine(xattr::remove_fd(made, list))?;
        }
    }
    Ok(())
}

/// Whether nodes of a directory inherit an access list. Asked for every node that is made, so with one bare call.
fn hands_down(dir: BorrowedFd<'_>) -> io::Result<bool> {
    match fgetxattr(dir, c"system.posix_acl_default", &mut [0_u8; 0]) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if is(&error, libc::ENODATA) || is(&error, libc::EOPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

/// Makes an empty regular file with exactly the permission bits `mode`, whatever the umask, and
/// opens it for reading and writing.
///
/// # Errors
/// EEXIST when the name is taken.
pub fn create_regular(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let made = open_confined(dir, name, flags, permissions(mode))?;
    settle_rights(dir, made.as_fd(), mode)?;
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
    if hands_down(dir)? {
        absent_is_fine(xattr::remove(dir, name, ACCESS_LIST))?;
    }
    set_mode(dir, name, mode)
}
