//! Which mounts the roots of processes are. Mount tables tell it of every process, also of one whose files may not be looked at.
//!
//! Invariant: looks at a bounded number of lines of another process's table.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::mountinfo::tree_of;

/// Mounts of a process that are looked at: the root of a container is among the first.
const MAX_LINES: usize = 64;

/// What a mount shows: a directory of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shown {
    /// `major:minor`.
    pub(super) device: Vec<u8>,
    /// The directory on it.
    pub(super) root: Vec<u8>,
}

/// Lists the mount points below `path` that this process sees, and what is mounted there.
///
/// # Errors
/// What reading the table says.
pub fn shown_below(path: &Path) -> io::Result<Vec<(PathBuf, Shown)>> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    let mounts = table.split(|byte| *byte == b'\n').filter_map(tree_of);
    let mounts = mounts.map(|(point, shown)| (PathBuf::from(OsStr::from_bytes(&point)), shown));
    Ok(mounts
        .filter(|(point, _)| point.starts_with(path))
        .collect())
}

/// What the root of a process shows, if it is a mount of its own.
///
/// # Errors
/// What reading its table says: that it has ended.
pub fn root_of(pid: u32) -> io::Result<Option<Shown>> {
    let table = File::open(format!("/proc/{pid}/mountinfo"))?;
    for line in BufReader::new(table).split(b'\n').take(MAX_LINES) {
        if let Some((point, shown)) = tree_of(&line?)
            && point == b"/"
        {
            return Ok(Some(shown));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_shown_where() {
        let line = b"36 35 98:0 /a\\040b /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw";
        let shown = Shown {
            device: b"98:0".to_vec(),
            root: b"/a b".to_vec(),
        };
        assert_eq!(tree_of(line), Some((b"/mnt 2".to_vec(), shown)));
        assert_eq!((tree_of(b""), tree_of(b"36 35 98:0")), (None, None));
    }

    #[test]
    fn the_own_root_is_among_the_mounts_that_are_seen() {
        let own = root_of(std::process::id()).unwrap();
        let all = shown_below(Path::new("/")).unwrap();
        let of_root = |shown| all.contains(&(PathBuf::from("/"), shown));
        assert!(own.is_none_or(of_root), "{all:?}");
    }
}
