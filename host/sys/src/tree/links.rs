//! The nodes of a tree that have several names in it, and their copies.
//!
//! Invariant: each such node is copied once, and its copy gets all of its names.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::clone::copy_node;
use super::pages::Pages;
use super::shared::under_free_name;
use super::trail::Trail;
use crate::node::{self, Attributes};
use crate::raw::{is, os_error};
use crate::{Name, btrfs};

/// The inode numbers of the nodes of a tree that have several names in it. Names elsewhere do not count: an older copy that
/// is being deleted has some.
pub(super) fn find(top: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<HashSet<u64>> {
    let mut trail = Trail::new(node::reopen(top)?, attributes, Pages::default());
    let mut buffer = Vec::with_capacity(node::LISTING_BYTES);
    let (mut once, mut again) = (HashSet::new(), HashSet::new());
    while let Some((dir, pages)) = trail.lowest() {
        let Some(entry) = pages.next(dir, &mut buffer)? else {
            trail.pop()?;
            continue;
        };
        if !entry.is_directory(dir)? {
            // The listing tells the number: to ask each node for its links took as long as to link all of them.
            if !once.insert(entry.inode) {
                again.insert(entry.inode);
            }
            continue;
        }
        let child = node::open_directory(dir, &entry.name)?;
        let attributes = node::stat_fd(child.as_fd())?;
        // A subvolume is copied as a snapshot, and has numbers of its own.
        if !btrfs::is_top(child.as_fd(), &attributes)? {
            trail.push(child, &attributes, Pages::default());
        }
    }
    Ok(again)
}

/// The copies of such nodes, in a directory of the copy that is removed at the end.
pub(super) struct Copies {
    name: Name,
    directory: OwnedFd,
    own: HashSet<u64>,
}

impl Copies {
    /// Makes the directory, under a name that neither tree has.
    pub(super) fn begin(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Self> {
        let (name, directory) = under_free_name(|name| match node::stat(from, name) {
            Err(error) if is(&error, libc::ENOENT) => node::create_directory(to, name, 0o700),
            Err(error) => Err(error),
            Ok(_) => Err(os_error(libc::EEXIST)),
        })?;
        Ok(Self {
            name,
            directory,
            own: HashSet::new(),
        })
    }

    /// Gives the copy of the node `name` of `from`, which has this inode number, the same name in `to`. Says how many bytes were
    /// written.
    pub(super) fn place(
        &mut self,
        from: BorrowedFd<'_>,
        name: &Name,
        inode: u64,
        to: BorrowedFd<'_>,
    ) -> io::Result<u64> {
        let mut written = 0;
        let (kept, copies) = (Name::from_number(inode), self.directory.as_fd());
        match node::stat(copies, &kept) {
            Err(error) if is(&error, libc::ENOENT) => {
                written = copy_node(from, name, copies, &kept)?;
                self.own.insert(node::stat(copies, &kept)?.inode);
            }
            found => drop(found?),
        }
        match node::link(copies, &kept, to, name) {
            // The name in the directory of copies is one too many.
            Err(error) if is(&error, libc::EMLINK) => copy_node(from, name, to, name),
            linked => linked.map(|()| written),
        }
    }

    /// Removes the directory. What stays are the inode numbers of the copies.
    pub(super) fn end(self, to: BorrowedFd<'_>) -> io::Result<HashSet<u64>> {
        super::remove(to, &self.name)?;
        Ok(self.own)
    }
}
