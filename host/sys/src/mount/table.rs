//! What is mounted where.
//!
//! Invariant: paths are bytes; nothing is assumed about their encoding or length.

use std::collections::HashMap;
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

/// The whole table in the old way: of this thread's name space, as `listmount` tells it.
pub(super) fn from_mountinfo() -> io::Result<Vec<MountEntry>> {
    let text = std::fs::read("/proc/thread-self/mountinfo")?;
    Ok(mountinfo::parse(&text))
}

/// Those on `path` and below it, parents before children. The kernel tells mounts in the order in
/// which they were made, which is another one for a detached mount that was attached later.
pub(super) fn select(all: Vec<MountEntry>, path: &Path) -> Vec<MountEntry> {
    let is_below =
        |entry: &MountEntry| Path::new(OsStr::from_bytes(&entry.mount_point)).starts_with(path);
    let mut below: Vec<_> = all.into_iter().filter(is_below).collect();
    let parents: HashMap<u64, u64> = below
        .iter()
        .map(|entry| (entry.mount_id, entry.parent_id))
        .collect();
    below.sort_by_cached_key(|entry| depth(entry.mount_id, &parents));
    below
}

/// How many of the mounts lie above one of them. A root may be its own parent, and a table that
/// changes while it is read may even go in circles.
fn depth(mount_id: u64, parents: &HashMap<u64, u64>) -> usize {
    std::iter::successors(parents.get(&mount_id), |parent| parents.get(parent))
        .take(parents.len())
        .count()
}
