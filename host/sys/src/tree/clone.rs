//! A copy of a tree that shares its files.
//!
//! Invariant: the original is only read; its files gain names, nothing else of it changes.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::links::{self, Copies};
use super::pages::Pages;
use super::shared::SharedFiles;
use super::trail::{Level, Trail};
use crate::node::{self, Attributes, Kind};
use crate::raw::{is, os_error};
use crate::{Name, btrfs, content, filesystem, xattr};

/// The end of the attribute in which overlayfs keeps of which node of a lower layer a node is a copy.
const ORIGIN: &[u8] = b".overlay.origin";

/// A copy that was made.
#[derive(Debug)]
pub struct Cloned {
    /// Nodes that were made in it.
    pub nodes: u64,
    /// What it shares with its original; `None` where that is nothing.
    pub shared: Option<SharedFiles>,
}

/// Makes the empty directory `to` a copy of the tree `from`, of any depth. Directories are made anew with owner, mode,
/// modification time and all extended attributes, `to` itself included. A btrfs subvolume becomes a snapshot, with all
/// within it, and counts as one. Everything else becomes a further name of the same node, and is shared until
/// [`SharedFiles::own`] is asked for it. A copy of its own, by reflink where the file system can, is made
///
/// - of a node with several names in the tree, once: in the copy it has the same names;
/// - where the kernel refuses a further name (too many names, another file system or mount);
/// - on btrfs, whose subvolumes number their inodes each from the beginning, so that seen through an overlay a number
///   does not tell which node is meant.
///
/// The tree `from` must not change meanwhile. On failure a part of the copy is left in `to`.
///
/// # Errors
/// EEXIST when `to` was not empty, EINVAL when it lies in `from`, EXDEV where something is mounted
/// in `from`.
pub fn clone_linked(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Cloned> {
    clone_watched(from, to, &|_bytes| true)
}

/// As [`clone_linked`]. `go_on` is asked after each node, with the bytes that were written for it: none of one that is shared.
///
/// # Errors
/// As there, and `Interrupted` once `go_on` says no.
pub fn clone_watched(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    go_on: &dyn Fn(u64) -> bool,
) -> io::Result<Cloned> {
    let from_attributes = node::stat_fd(from)?;
    let to_attributes = node::stat_fd(to)?;
    if identity(&from_attributes) == identity(&to_attributes) {
        return Err(os_error(libc::EINVAL));
    }
    let may_share = filesystem::statfs(from)?.magic != btrfs::MAGIC;
    let several_names = links::find(from, &from_attributes)?;
    let copies = match several_names.is_empty() {
        true => None,
        false => Some(Copies::begin(from, to)?),
    };
    let (from_top, to_top) = (node::reopen(from)?, node::reopen(to)?);
    let mut walk = Walk {
        forbidden: identity(&to_attributes),
        from: Trail::new(from_top, &from_attributes, Copied::new(from_attributes)),
        to: Trail::new(to_top, &to_attributes, ()),
        buffer: Vec::with_capacity(node::LISTING_BYTES),
        made: 0,
        written: 0,
        may_share,
        several_names,
        copies,
    };
    while walk.step()? {
        if !go_on(std::mem::take(&mut walk.written)) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let mut own = HashSet::new();
    if let Some(copies) = walk.copies {
        own = copies.end(to)?;
        node::set_modified_fd(to, from_attributes.modified)?;
    }
    Ok(Cloned {
        nodes: walk.made,
        shared: may_share.then(|| SharedFiles::new(from_attributes.device, own)),
    })
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
    /// Bytes that were written since someone was told.
    written: u64,
    may_share: bool,
    /// Inode numbers of the nodes of the original that have several names in it.
    several_names: HashSet<u64>,
    copies: Option<Copies>,
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
        let name = &entry.name;
        self.written += match &mut self.copies {
            Some(copies) if self.several_names.contains(&entry.inode) => {
                copies.place(from, name, entry.inode, to)?
            }
            _ if self.may_share => link_or_copy(from, to, name)?,
            _ => copy_node(from, name, to, name)?,
        };
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
            let made = btrfs::snapshot_tree(child.as_fd(), to, &name)?;
            btrfs::mark_copy(from, to, &name, made.as_fd())?;
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

/// Says how many bytes were written.
fn link_or_copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Name) -> io::Result<u64> {
    match node::link(from, name, to, name) {
        Err(error)
            if [libc::EMLINK, libc::EPERM, libc::EXDEV]
                .iter()
                .any(|no| is(&error, *no)) =>
        {
            copy_node(from, name, to, name)
        }
        linked => linked.map(|()| 0),
    }
}

/// Copies a node that is no directory, with all that belongs to it, under another name. Says how many bytes it occupies.
pub(super) fn copy_node(
    from: BorrowedFd<'_>,
    name: &Name,
    to: BorrowedFd<'_>,
    new_name: &Name,
) -> io::Result<u64> {
    let found = node::stat(from, name)?;
    match found.kind {
        Kind::Regular => {
            let original = node::open_regular(from, name)?;
            let copy = node::create_regular(to, new_name, 0o600)?;
            content::copy(original.as_fd(), copy.as_fd())?;
        }
        Kind::Symlink => node::create_symlink(to, new_name, &node::read_link(from, name)?)?,
        Kind::CharacterDevice if (found.major, found.minor) == (0, 0) => {
            node::create_whiteout(to, new_name)?;
        }
        Kind::BlockDevice | Kind::CharacterDevice => {
            let (major, minor) = (found.major, found.minor);
            node::create_device(to, new_name, found.kind, major, minor, found.mode)?;
        }
        Kind::Fifo => node::create_fifo(to, new_name, found.mode)?,
        Kind::Socket => node::create_socket(to, new_name, found.mode)?,
        Kind::Directory => return Err(os_error(libc::EISDIR)),
    }
    // In this order: a new owner clears bits of the mode and capabilities, everything the time.
    node::set_owner(to, new_name, found.uid, found.gid)?;
    copy_xattrs(from, name, to, new_name)?;
    if found.kind != Kind::Symlink {
        node::set_mode(to, new_name, found.mode)?;
    }
    node::set_modified(to, new_name, found.modified)?;
    Ok(found.blocks_512.saturating_mul(512))
}

fn copy_xattrs(
    from: BorrowedFd<'_>,
    name: &Name,
    to: BorrowedFd<'_>,
    new_name: &Name,
) -> io::Result<()> {
    for key in xattr::list(from, name)? {
        // It tells the kernel which inode number an overlay shows: the original's, and a copy must not be taken for it.
        if key.ends_with(ORIGIN) {
            continue;
        }
        if let Some(value) = xattr::get(from, name, &key)? {
            xattr::set(to, new_name, &key, &value)?;
        }
    }
    Ok(())
}

fn copy_xattrs_fd(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for key in xattr::list_fd(from)? {
        if btrfs::is_mark(&key) {
            continue;
        }
        if let Some(value) = xattr::get_fd(from, &key)? {
            xattr::set_fd(to, &key, &value)?;
        }
    }
    Ok(())
}
