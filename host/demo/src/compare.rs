//! Whether two trees are equal: nodes, attributes, content, hard links.
//!
//! Invariant: reads both trees natively, from outside; nothing of Mica takes part.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::interrupt;
use crate::node::Node;
use crate::tell::untrue;
use crate::timeline::Amount;
use mica_client::Failure;

/// Bytes of each file that are compared at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Compares two trees from their roots on.
///
/// # Errors
/// The first path that differs, and how.
pub(crate) fn equal(one: &Path, two: &Path) -> Result<Amount, Failure> {
    let mut comparison = Comparison {
        one,
        two,
        groups: [HashMap::new(), HashMap::new()],
        nodes: 0,
        bytes: 0,
        buffers: [vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]],
    };
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        interrupt::check()?;
        open.extend(comparison.node(&path)?);
    }
    Ok(Amount {
        bytes: Some(comparison.bytes),
        entries: Some(comparison.nodes),
    })
}

struct Comparison<'a> {
    one: &'a Path,
    two: &'a Path,
    /// The first path of each inode that has several, on each side.
    groups: [HashMap<(u64, u64), PathBuf>; 2],
    nodes: u64,
    bytes: u64,
    buffers: [Vec<u8>; 2],
}

impl Comparison<'_> {
    /// Compares the nodes at a path and returns the paths below it.
    fn node(&mut self, path: &Path) -> Result<Vec<PathBuf>, Failure> {
        let (one, two) = (inside(self.one, path), inside(self.two, path));
        let shown = Path::new("/").join(path);
        let reading = || Failure::io(format!("read `{}`", shown.display()));
        let (left, left_found) = Node::read(&one).map_err(reading())?;
        let (right, right_found) = Node::read(&two).map_err(reading())?;
        let (left, right) = match path.as_os_str().is_empty() {
            true => (left.without_time(), right.without_time()),
            false => (left, right),
        };
        if let Some(difference) = left.difference(&right) {
            return Err(untrue(format!(
                "the trees differ at `{}`: {difference}",
                shown.display()
            )));
        }
        self.nodes += 1;
        if left_found.is_dir() {
            return self.names(path, &one, &two).map_err(reading())?;
        }
        let first = self.first(0, path, &left_found);
        if first != self.first(1, path, &right_found) {
            return Err(untrue(format!(
                "the trees differ at `{}`: linked to other names",
                shown.display()
            )));
        }
        if left_found.is_file()
            && first.is_none()
            && !self.same_content(&one, &two).map_err(reading())?
        {
            return Err(untrue(format!(
                "the trees differ at `{}`: content",
                shown.display()
            )));
        }
        Ok(Vec::new())
    }

    /// The paths below a directory, if both sides have the same, the first one last.
    fn names(
        &self,
        path: &Path,
        one: &Path,
        two: &Path,
    ) -> io::Result<Result<Vec<PathBuf>, Failure>> {
        let (left, right) = (names(one)?, names(two)?);
        if let Some(odd) = left.symmetric_difference(&right).next() {
            let side = if left.contains(odd) {
                "first"
            } else {
                "second"
            };
            let shown = Path::new("/").join(path).join(odd);
            return Ok(Err(untrue(format!(
                "the trees differ at `{}`: only in the {side}",
                shown.display()
            ))));
        }
        Ok(Ok(left.iter().rev().map(|name| path.join(name)).collect()))
    }

    /// The path under which a node was met before. A link count alone says nothing: what a layer was before an
    /// archive was applied shares its files until it is deleted, in the background.
    fn first(&mut self, side: usize, path: &Path, found: &Metadata) -> Option<PathBuf> {
        let groups = self.groups.get_mut(side).filter(|_| found.nlink() > 1)?;
        let inode = (found.dev(), found.ino());
        let first = groups.entry(inode).or_insert_with(|| path.to_owned());
        (first != path).then(|| first.clone())
    }

    fn same_content(&mut self, one: &Path, two: &Path) -> io::Result<bool> {
        let (mut one, mut two) = (File::open(one)?, File::open(two)?);
        let [left, right] = &mut self.buffers;
        loop {
            let count = fill(&mut one, left)?;
            self.bytes += count as u64;
            if count != fill(&mut two, right)? || left.get(..count) != right.get(..count) {
                return Ok(false);
            }
            if count < PIECE_BYTES {
                return Ok(true);
            }
        }
    }
}

/// Joins without a slash at the end, which would follow a symbolic link.
fn inside(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(path)
    }
}

fn names(directory: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(directory: &Path) {
        fs::create_dir_all(directory.join("d")).unwrap();
        fs::write(directory.join("d/file"), "content").unwrap();
        fs::hard_link(directory.join("d/file"), directory.join("linked")).unwrap();
        symlink("d/file", directory.join("symlink")).unwrap();
        for path in ["d/file", "d", ""] {
            let file = File::open(directory.join(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let times = rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec {
                tv_sec: 1,
                tv_nsec: 2,
            },
            last_modification: rustix::fs::Timespec {
                tv_sec: 1,
                tv_nsec: 2,
            },
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, directory.join("symlink"), &times, flags).unwrap();
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let lab = tempfile::tempdir().unwrap();
        type Change = (&'static str, fn(&Path));
        let changes: [Change; 5] = [
            ("content", |tree| {
                fs::write(tree.join("d/file"), "CONTENT").unwrap()
            }),
            ("/linked", |tree| {
                fs::remove_file(tree.join("linked")).unwrap();
                fs::copy(tree.join("d/file"), tree.join("linked")).unwrap();
            }),
            ("/d/file", |tree| {
                fs::remove_file(tree.join("d/file")).unwrap()
            }),
            ("mode", |tree| {
                fs::set_permissions(
                    tree.join("d"),
                    std::os::unix::fs::PermissionsExt::from_mode(0o700),
                )
                .unwrap()
            }),
            ("modification time", |tree| {
                fs::File::open(tree.join("d"))
                    .unwrap()
                    .set_modified(std::time::SystemTime::now())
                    .unwrap()
            }),
        ];
        let original = lab.path().join("original");
        tree(&original);
        for (index, (named, change)) in changes.into_iter().enumerate() {
            let copy = lab.path().join(index.to_string());
            tree(&copy);
            assert_eq!(equal(&original, &copy).unwrap().entries, Some(5));
            change(&copy);
            let keep_times = index < 3;
            if keep_times {
                for path in ["linked", "d", ""] {
                    File::open(copy.join(path))
                        .unwrap()
                        .set_modified(std::time::UNIX_EPOCH)
                        .unwrap();
                }
            }
            let text = equal(&original, &copy).unwrap_err().text();
            assert!(text.contains(named), "{named}: {text}");
        }
    }
}
