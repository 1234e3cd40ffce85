//! Shows the nodes of a tree one after the other.
//!
//! Invariant: reads only; memory for a bounded number of names of each level, however many a directory has; a tree that others
//! change meanwhile is taken as it is met: what is gone is passed over.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::vec;

use super::trail::{Level, Trail};
use super::unless_gone;
use crate::Name;
use crate::node::{self, Attributes, Kind};
use crate::raw::{is, os_error};

/// Bytes of names that one reading of a directory keeps: a directory with more names is read again for the rest, so a small
/// number costs time there, and a large one memory on each level.
const RUN_BYTES: usize = 1 << 20;

/// How far a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The entries of the top directory.
    Entries,
    /// Everything below it.
    Everything,
    /// Everything below it, but nothing that is mounted within.
    OneMount,
}

/// A node that a walk has met.
#[derive(Debug)]
pub struct Visited<'a> {
    /// The names that lead to it from the top, separated by slashes.
    pub path: &'a [u8],
    /// The directory that it is in.
    pub directory: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a Name,
    /// What the kernel knows of it.
    pub attributes: &'a Attributes,
    /// Where it leads, of a symbolic link.
    pub target: Option<Vec<u8>>,
}

/// Shows every node below an open directory to `visitor`, but not the directory itself: names in byte order, a directory before
/// what is in it. Ends early when `visitor` breaks.
///
/// # Errors
/// What reading says; EXDEV where something is mounted within, unless that is passed over.
pub fn visit(
    top: BorrowedFd<'_>,
    depth: Depth,
    visitor: &mut dyn FnMut(Visited<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let attributes = node::stat_fd(top)?;
    let mut trail = Trail::new(node::reopen(top)?, &attributes, Names::default());
    let mut path = Vec::new();
    while let Some((dir, names)) = trail.lowest() {
        let Some(name) = names.next(dir)? else {
            names.leave(&mut path);
            trail.pop()?;
            continue;
        };
        let Some(found) = unless_gone(node::stat(dir, &name))? else {
            continue;
        };
        let target = match found.kind {
            Kind::Symlink => match unless_gone(node::read_link(dir, &name))? {
                None => continue,
                target => target,
            },
            _ => None,
        };
        let parent_length = path.len();
        if parent_length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        let shown = Visited {
            path: &path,
            directory: dir,
            name: &name,
            attributes: &found,
            target,
        };
        if visitor(shown).is_break() {
            return Ok(());
        }
        let child = match (depth, found.kind) {
            (Depth::Entries, _) => None,
            (depth, Kind::Directory) => match node::open_directory(dir, &name) {
                Err(error) if depth == Depth::OneMount && is(&error, libc::EXDEV) => None,
                opened => unless_gone(opened)?,
            },
            _ => None,
        };
        let Some(child) = child else {
            path.truncate(parent_length);
            continue;
        };
        let attributes = node::stat_fd(child.as_fd())?;
        trail.push(child, &attributes, Names::below(parent_length));
    }
    Ok(())
}

/// Where the reading of a directory stands.
#[derive(Default)]
struct Names {
    /// The rest of the names that were read last, in byte order.
    run: vec::IntoIter<Box<[u8]>>,
    /// The last name that was taken.
    last: Option<Box<[u8]>>,
    /// Whether the directory has no names behind those of the run.
    is_last_run: bool,
    /// How long the path of the directory above is.
    above_length: usize,
}

impl Names {
    fn below(above_length: usize) -> Self {
        Self {
            above_length,
            ..Self::default()
        }
    }

    fn next(&mut self, dir: BorrowedFd<'_>) -> io::Result<Option<Name>> {
        loop {
            if let Some(name) = self.run.next() {
                // A name that is none comes from a broken file system only.
                let next = Name::new(&name).or(Err(os_error(libc::EIO)))?;
                self.last = Some(name);
                return Ok(Some(next));
            }
            if self.is_last_run {
                return Ok(None);
            }
            let run = node::names_after(dir, self.last.as_deref(), RUN_BYTES)?;
            self.is_last_run = !run.has_more;
            self.run = run.names.into_iter();
        }
    }

    /// The walk goes up: the path is that of the directory above.
    fn leave(&self, path: &mut Vec<u8>) {
        path.truncate(self.above_length);
    }
}

impl Level for Names {
    fn closed(&mut self) {
        // What was not taken yet is read again behind the last name that was.
        self.run = Vec::new().into_iter();
        self.is_last_run = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::trail::OPEN_LEVELS;
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    fn shown(top: &File, depth: Depth, most: usize) -> Vec<String> {
        let mut seen = Vec::new();
        visit(top.as_fd(), depth, &mut |node| {
            let path = String::from_utf8(node.path.to_vec()).unwrap();
            let target = node.target.map(|target| String::from_utf8(target).unwrap());
            seen.push(target.map_or(path.clone(), |target| format!("{path} -> {target}")));
            match seen.len() == most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
        .unwrap();
        seen
    }

    #[test]
    fn nodes_come_in_byte_order_and_directories_first() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("b/c")).unwrap();
        fs::write(place.path().join("b/c/x"), "").unwrap();
        fs::write(place.path().join("b.txt"), "").unwrap();
        symlink("b/c", place.path().join("a")).unwrap();
        let top = File::open(place.path()).unwrap();
        let all = ["a -> b/c", "b", "b/c", "b/c/x", "b.txt"];
        assert_eq!(shown(&top, Depth::Everything, usize::MAX), all);
        assert_eq!(shown(&top, Depth::Everything, 2), &all[..2]);
        let entries = ["a -> b/c", "b", "b.txt"];
        assert_eq!(shown(&top, Depth::Entries, usize::MAX), entries);
    }

    #[test]
    fn a_deep_tree_is_shown_whole_on_the_way_down_and_up() {
        let place = tempfile::tempdir().unwrap();
        let mut path = place.path().to_owned();
        let levels = OPEN_LEVELS * 3;
        for _ in 0..levels {
            path.push("d");
            fs::create_dir(&path).unwrap();
            fs::write(path.with_file_name("z"), "").unwrap();
        }
        let top = File::open(place.path()).unwrap();
        let seen = shown(&top, Depth::Everything, usize::MAX);
        assert_eq!(seen.len(), 2 * levels);
        assert_eq!(seen.last().map(String::as_str), Some("z"));
    }
}
