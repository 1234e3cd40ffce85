//! A copy of a tree that shares its files.
//!
//! Invariant: the original is only read; its files gain names, nothing else of it changes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::pages::Pages;
use super::trail::{Level, Trail};
use crate::node::{self, Attributes, Kind};
use crate::raw::{is, os_error};
use crate::{Name, btrfs, content, xattr};

/// Makes the empty directory `to` a copy of the tree `from`, of any depth, and says how many nodes
/// were made in it. Directories are made anew with owner, mode, modification time and all extended
/// attributes, `to` itself included. A btrfs subvolume becomes a snapshot, with all within it, and
/// counts as one. Everything else becomes a further name of the same node; where the kernel refuses
/// one (too many names, another file system or mount), the node is copied with its content.
///
/// The tree `from` must not change meanwhile. On failure a part of the copy is left in `to`.
///
/// # Errors
/// EEXIST when `to` was not empty, EINVAL when it lies in `from`, EXDEV where something is mounted
/// in `from`.
pub fn clone_linked(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<u64> {
    let from_attributes = node::stat_fd(from)?;
    let to_attributes = node::stat_fd(to)?;
    if identity(&from_attributes) == identity(&to_attributes) {
        return Err(os_error(libc::EINVAL));
    }
    let from_top = node::reopen(from)?;
    let to_top = node::reopen(to)?;
    let mut walk = Walk {
        forbidden: identity(&to_attributes),
        from: Trail::new(from_top, &from_attributes, Copied::new(from_attributes)),
        to: Trail::new(to_top, &to_attributes, ()),
        buffer: Vec::with_capacity(node::LISTING_BYTES),
        made: 0,
    };
    while walk.step()? {}
    Ok(walk.made)
}

/// A directory that is being copied.
struct Copied {
    attributes: Attributes,
    pages: Pages,
}

impl Copied {
    fn new(attributes: Attributes) -> Self {
        Self {
            attributes,
            pages: Pages::default(),
        }
    }
}

impl Level for Copied {
    fn closed(&mut self) {
        self.pages.closed();
    }
}

struct Walk {
    /// The top of the copy: met in the original, the walk would never end.
    forbidden: (u64, u64),
    from: Trail<Copied>,
    to: Trail<()>,
    buffer: Vec<u8>,
    made: u64,
}

impl Walk {
    /// Copies one entry, or goes up. Says whether there is more to do.
    fn step(&mut self) -> io::Result<bool> {
        let Some((from, level)) = self.from.lowest() else {
            return Ok(false);
        };
        let Some((to, ())) = self.to.lowest() else {
            return Ok(false);
        };
        let Some(entry) = level.pages.next(from, &mut self.buffer)? else {
            return self.ascend();
        };
        if entry.is_directory(from)? {
            return self.descend(entry.name);
        }
        link_or_copy(from, to, &entry.name)?;
        self.made += 1;
        Ok(true)
    }

    fn descend(&mut self, name: Name) -> io::Result<bool> {
        let Some((from, _)) = self.from.lowest() else {
            return Ok(false);
        };
        let Some((to, ())) = self.to.lowest() else {
            return Ok(false);
        };
        let child = node::open_directory(from, &name)?;
        let attributes = node::stat_fd(child.as_fd())?;
        if identity(&attributes) == self.forbidden {
            return Err(os_error(libc::EINVAL));
        }
        self.made += 1;
        if btrfs::is_top(child.as_fd(), &attributes)? {
            btrfs::snapshot_tree(child.as_fd(), to, &name)?;
            return Ok(true);
        }
        let copy = node::create_directory(to, &name, 0o700)?;
        let copy_attributes = node::stat_fd(copy.as_fd())?;
        self.from.push(child, &attributes, Copied::new(attributes));
        self.to.push(copy, &copy_attributes, ());
        Ok(true)
    }

    /// Gives the lowest directory its attributes, now that nothing is made in it any more: its time
    /// stays, and a default access list does not spread to what was made in it.
    fn ascend(&mut self) -> io::Result<bool> {
        let Some((from, level)) = self.from.lowest() else {
            return Ok(false);
        };
        let Some((to, ())) = self.to.lowest() else {
            return Ok(false);
        };
        let wanted = level.attributes;
        node::set_owner_fd(to, wanted.uid, wanted.gid)?;
        copy_xattrs_fd(from, to)?;
        node::set_mode_fd(to, wanted.mode)?;
        node::set_modified_fd(to, wanted.modified)?;
        self.from.pop()?;
        self.to.pop()?;
        Ok(true)
    }
}

fn identity(attributes: &Attributes) -> (u64, u64) {
    (attributes.device, attributes.inode)
}

fn link_or_copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    match node::link(from, name, to, name) {
        Err(error)
            if [libc::EMLINK, libc::EPERM, libc::EXDEV]
                .iter()
                .any(|no| is(&error, *no)) =>
        {
            copy_node(from, to, name)
        }
        linked => linked,
    }
}

/// Copies a node that is no directory, with all that belongs to it.
pub(super) fn copy_node(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    let found = node::stat(from, name)?;
    match found.kind {
        Kind::Regular => drop(copy_regular(from, to, name)?),
        Kind::Symlink => node::create_symlink(to, name, &node::read_link(from, name)?)?,
        Kind::CharacterDevice if (found.major, found.minor) == (0, 0) => {
            node::create_whiteout(to, name)?;
        }
        Kind::BlockDevice | Kind::CharacterDevice => {
            node::create_device(to, name, found.kind, found.major, found.minor, found.mode)?;
        }
        Kind::Fifo => node::create_fifo(to, name, found.mode)?,
        Kind::Socket => node::create_socket(to, name, found.mode)?,
        Kind::Directory => return Err(os_error(libc::EISDIR)),
    }
    // In this order: a new owner clears bits of the mode and capabilities, everything the time.
    node::set_owner(to, name, found.uid, found.gid)?;
    copy_xattrs(from, to, name)?;
    if found.kind != Kind::Symlink {
        node::set_mode(to, name, found.mode)?;
    }
    node::set_modified(to, name, found.modified)
}

fn copy_regular(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    let original = node::open_regular(from, name)?;
    let copy = node::create_regular(to, name, 0o600)?;
    content::copy(original.as_fd(), copy.as_fd())?;
    Ok(copy)
}

fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    for key in xattr::list(from, name)? {
        if let Some(value) = xattr::get(from, name, &key)? {
            xattr::set(to, name, &key, &value)?;
        }
    }
    Ok(())
}

fn copy_xattrs_fd(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for key in xattr::list_fd(from)? {
        if let Some(value) = xattr::get_fd(from, &key)? {
            xattr::set_fd(to, &key, &value)?;
        }
    }
    Ok(())
}
