//! What is mounted where.
//!
//! Invariant: paths are bytes; nothing is assumed about their encoding or length.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{mountinfo, statmount};

/// One mount of this process's name space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// The kernel's number for it: as [`super::mount_id`] tells it.
    pub mount_id: u64,
    /// The number of the mount that it lies on.
    pub parent_id: u64,
    /// Which directory of its file system is its top. A removed one ends in `//deleted`.
    pub root: Vec<u8>,
    /// Where it is mounted, as an absolute path.
    pub mount_point: Vec<u8>,
    /// The type of file system, for instance `overlay`.
    pub fs_type: Vec<u8>,
    /// What was mounted, for people; empty where the kernel does not tell.
    pub source: Vec<u8>,
}

/// Lists the mounts on `path` and below it, parents before children.
///
/// # Errors
/// ENOENT when the path does not exist, and what reading the table says.
pub fn mounts_below(path: &Path) -> io::Result<Vec<MountEntry>> {
    let path = path.canonicalize()?;
    let all = if statmount::has_statmount() {
        statmount::all()?
    } else {
        from_mountinfo()?
    };
    Ok(select(all, &path))
}

/// The whole table in the old way.
pub(super) fn from_mountinfo() -> io::Result<Vec<MountEntry>> {
    Ok(mountinfo::parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// Those on `path` and below it; the kernel tells parents before children.
pub(super) fn select(all: Vec<MountEntry>, path: &Path) -> Vec<MountEntry> {
    let is_below =
        |entry: &MountEntry| Path::new(OsStr::from_bytes(&entry.mount_point)).starts_with(path);
    all.into_iter().filter(is_below).collect()
}
