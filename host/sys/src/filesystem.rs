//! Facts about the file system below a descriptor, its locks and its durability.
//!
//! Invariant: a probe leaves nothing behind but a directory that [`SCRATCH_PREFIX`] names, and that
//! only when the process is killed.

mod magic;
mod probe;
mod scratch;
mod sync;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatfs, fstatvfs, open, statfs as statfs_path};

use crate::node::{Kind, stat_fd};
use crate::raw::descriptor_path;

pub use magic::{MAGICS, name_of};
pub use probe::{
    TestImage, probe_d_type, probe_image, probe_native_diff, probe_overlay, probe_reflink,
};
pub use scratch::SCRATCH_PREFIX;
pub use sync::{is_locked, sync, sync_file, try_lock_exclusive};

/// Whether a kernel or file system can do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It can.
    Available,
    /// It can not: why, and what would help, for people.
    Missing(String),
}

/// What `statfs` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statfs {
    /// The magic number of the file system's type: the original's FsMagic.
    pub magic: u32,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that are free for root; some of them only for what the file system needs itself.
    pub free_bytes: u64,
    /// Bytes that are free for everyone.
    pub available_bytes: u64,
    /// Inodes in all; 0 where the file system does not count them.
    pub total_inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// Reads type and room of the file system that an open node lies on.
pub fn statfs(fd: BorrowedFd<'_>) -> io::Result<Statfs> {
    let found = fstatfs(fd)?;
    let block_bytes = u64::try_from(found.f_frsize).unwrap_or(0);
    Ok(Statfs {
        magic: magic_bits(found.f_type),
        total_bytes: found.f_blocks.saturating_mul(block_bytes),
        free_bytes: found.f_bfree.saturating_mul(block_bytes),
        available_bytes: found.f_bavail.saturating_mul(block_bytes),
        total_inodes: found.f_files,
        free_inodes: found.f_ffree,
    })
}

/// Says whether the file system or the mount that an open node lies on takes no changes.
pub fn is_read_only(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let found = fstatvfs(fd)?;
    Ok(found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Reads the magic number of the file system of a path: the original's GetFSMagic. The path is
/// looked at if it exists, else its parent.
///
/// # Errors
/// ENOENT when neither exists, and what `statfs` says.
pub fn magic_of_path(path: &Path) -> io::Result<u32> {
    let found = match statfs_path(path) {
        Err(rustix::io::Errno::NOENT) => {
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            statfs_path(parent.unwrap_or(Path::new(".")))?
        }
        found => found?,
    };
    Ok(magic_bits(found.f_type))
}

/// Opens the directory at a path that the operator gave, to act in it.
///
/// # Errors
/// ENOTDIR for any other node, a symbolic link included: what it points to may change.
pub fn open_directory_itself(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Opens the regular file that a path of the operator leads to, for reading. It neither waits for a pipe nor opens a device:
/// the node is pinned first, looked at, and only then opened.
///
/// # Errors
/// EINVAL for any other node.
pub fn open_file(path: &Path) -> io::Result<File> {
    let pinned = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if stat_fd(pinned.as_fd())?.kind != Kind::Regular {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open(descriptor_path(pinned.as_fd()), flags, Mode::empty())?.into())
}

/// The magic number is 32 bits wide; a signed machine word carries it, on some machines extended
/// by its sign.
fn magic_bits(word: i64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}
