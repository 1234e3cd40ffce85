//! Reading and setting what the kernel knows of a node.
//!
//! Invariant: one system call each, and of a symbolic link always its own attributes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps, Uid,
    chmodat, chownat, fchmod, fchown, futimens, makedev, openat, statx, utimensat,
};
use rustix::io::Errno;

use crate::Name;
use crate::btrfs;
use crate::raw::{check, descriptor_path, is, os_error};

/// The type of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00:00 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds past the second, 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// The beginning of 1970.
const EPOCH: Timestamp = Timestamp {
    seconds: 0,
    nanoseconds: 0,
};

/// What the kernel knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The type.
    pub kind: Kind,
    /// Permission bits with set-user-id, set-group-id and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content, or of the target of a symbolic link.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks_512: u64,
    /// Number of names.
    pub links: u32,
    /// Inode number: with `device` the identity of the node.
    pub inode: u64,
    /// The device number of the file system.
    pub device: u64,
    /// Major number of a device node, else 0.
    pub major: u32,
    /// Minor number of a device node, else 0.
    pub minor: u32,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the node.
    pub changed: Timestamp,
}

/// Reads the attributes of `name` in `dir`; of a symbolic link its own.
pub fn stat(dir: BorrowedFd<'_>, name: &Name) -> io::Result<Attributes> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    attributes(dir, name.as_c_str(), flags)
}

/// Reads the attributes of an open node.
pub fn stat_fd(fd: BorrowedFd<'_>) -> io::Result<Attributes> {
    attributes(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT)
}

/// Sets owner and group; of a symbolic link its own. The kernel clears set-user-id bits then.
pub fn set_owner(dir: BorrowedFd<'_>, name: &Name, uid: u32, gid: u32) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(chownat(
        dir,
        name.as_c_str(),
        Some(owner(uid)?),
        Some(group(gid)?),
        flags,
    )?)
}

/// Sets owner and group of an open node. The kernel clears set-user-id bits then.
pub fn set_owner_fd(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    Ok(fchown(fd, Some(owner(uid)?), Some(group(gid)?))?)
}

/// Sets the permission bits, `0o7777` at most.
///
/// # Errors
/// EOPNOTSUPP for a symbolic link, which has none; what it points to is never touched.
pub fn set_mode(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<()> {
    match change_mode(dir, name.as_c_str(), mode) {
        Err(error) if is(&error, libc::ENOSYS) => set_mode_pinned(dir, name, mode),
        done => done,
    }
}

/// Sets the permission bits of an open node, `0o7777` at most.
pub fn set_mode_fd(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    Ok(fchmod(fd, Mode::from_raw_mode(mode & 0o7777))?)
}

/// Sets the time of the last change of the content, and the access time to the same value; of a
/// symbolic link its own.
///
/// # Errors
/// EINVAL for a billion nanoseconds and more.
pub fn set_modified(dir: BorrowedFd<'_>, name: &Name, time: Timestamp) -> io::Result<()> {
    let times = both_times(time)?;
    Ok(utimensat(
        dir,
        name.as_c_str(),
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Sets the times of an open node, as [`set_modified`] does.
///
/// # Errors
/// EINVAL for a billion nanoseconds and more.
pub fn set_modified_fd(fd: BorrowedFd<'_>, time: Timestamp) -> io::Result<()> {
    Ok(futimens(fd, &both_times(time)?)?)
}

/// One `statx`.
fn attributes(fd: BorrowedFd<'_>, path: &CStr, flags: AtFlags) -> io::Result<Attributes> {
    let found = statx(fd, path, flags, StatxFlags::BASIC_STATS)?;
    let kind = kind(FileType::from_raw_mode(u32::from(found.stx_mode)))?;
    let (mut modified, mut changed) = (modified(&found), changed(&found));
    if kind == Kind::Directory && btrfs::is_placeholder(fd, found.stx_ino)? {
        // The kernel makes its times up at each look.
        (modified, changed) = (EPOCH, EPOCH);
    }
    Ok(Attributes {
        kind,
        mode: u32::from(found.stx_mode) & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        blocks_512: found.stx_blocks,
        links: found.stx_nlink,
        inode: found.stx_ino,
        device: makedev(found.stx_dev_major, found.stx_dev_minor),
        major: found.stx_rdev_major,
        minor: found.stx_rdev_minor,
        modified,
        changed,
    })
}

fn kind(file_type: FileType) -> io::Result<Kind> {
    Ok(match file_type {
        FileType::RegularFile => Kind::Regular,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        // Only a broken file system gives another type.
        FileType::Unknown => return Err(os_error(libc::EIO)),
    })
}

fn modified(found: &Statx) -> Timestamp {
    Timestamp {
        seconds: found.stx_mtime.tv_sec,
        nanoseconds: found.stx_mtime.tv_nsec,
    }
}

fn changed(found: &Statx) -> Timestamp {
    Timestamp {
        seconds: found.stx_ctime.tv_sec,
        nanoseconds: found.stx_ctime.tv_nsec,
    }
}

/// The kernel reads the largest number as "leave it alone", so it is refused as an id.
fn owner(uid: u32) -> io::Result<Uid> {
    if uid == u32::MAX {
        Err(os_error(libc::EINVAL))
    } else {
        Ok(Uid::from_raw(uid))
    }
}

fn group(gid: u32) -> io::Result<Gid> {
    if gid == u32::MAX {
        Err(os_error(libc::EINVAL))
    } else {
        Ok(Gid::from_raw(gid))
    }
}

fn both_times(time: Timestamp) -> io::Result<Timestamps> {
    // Larger numbers mean "now" and "omit" to the kernel.
    if time.nanoseconds > 999_999_999 {
        return Err(os_error(libc::EINVAL));
    }
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: i64::from(time.nanoseconds),
    };
    Ok(Timestamps {
        last_access: time,
        last_modification: time,
    })
}

/// Linux 6.6 and later: `fchmodat2` has the flag that `fchmodat` lacks.
#[expect(unsafe_code, reason = "neither rustix nor libc wraps fchmodat2")]
fn change_mode(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    const SYS_FCHMODAT2: libc::c_long = 452;
    // SAFETY: the name is a valid NUL-terminated string that outlives the call, which only reads it.
    let returned = unsafe {
        libc::syscall(
            SYS_FCHMODAT2,
            dir.as_raw_fd(),
            name.as_ptr(),
            mode & 0o7777,
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    check(returned).map(drop)
}

/// Before Linux 6.6: pins the node, looks at it, and changes it through its descriptor.
pub(super) fn set_mode_pinned(dir: BorrowedFd<'_>, name: &Name, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let pinned = openat(dir, name.as_c_str(), flags, Mode::empty())?;
    if stat_fd(pinned.as_fd())?.kind == Kind::Symlink {
        return Err(Errno::OPNOTSUPP.into());
    }
    let path = descriptor_path(pinned.as_fd());
    Ok(chmodat(
        CWD,
        path,
        Mode::from_raw_mode(mode & 0o7777),
        AtFlags::empty(),
    )?)
}
