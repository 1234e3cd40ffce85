//! Which subvolume belongs at a name.
//!
//! A snapshot does not hold the subvolumes within the one that it is made of: where they were it shows empty directories
//! that take no change. `btrfs send` leaves nothing of them at all. So a tree that was rolled back or restored looks whole
//! and has lost them. Whoever makes a subvolume notes its UUID beside its name, in an attribute of the directory that holds
//! it, which snapshots and send keep.
//!
//! Invariant: an attribute tells what was made there; nothing is ever made good by what is found.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::root::{Root, Uuid};
use super::subvolume::{id, is_subvolume};
use crate::node::open_directory;
use crate::raw::{is, os_error};
use crate::{Name, xattr};

/// The attribute's name, before that of the subvolume.
const PREFIX: &[u8] = b"trusted.mica.subvolume.";

/// A subvolume that is not where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    name: Name,
    found: Instead,
}

/// What is found in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Nothing,
    Directory,
    Another,
}

impl Display for Lost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.found {
            Instead::Nothing => write!(f, "its subvolume `{name}` is missing"),
            Instead::Directory => write!(
                f,
                "its subvolume `{name}` is missing, a directory without it is in its place"
            ),
            Instead::Another => write!(f, "another subvolume is in the place of its `{name}`"),
        }
    }
}

/// Notes that a subvolume was made under a name. Where this process may not search the file system, nothing is noted.
///
/// # Errors
/// ENAMETOOLONG for a name of more than 232 bytes; what setting an attribute says.
pub fn mark(directory: BorrowedFd<'_>, name: &Name, made: BorrowedFd<'_>) -> io::Result<()> {
    let uuid = match id(made).and_then(|tree| Root::of(made, tree)) {
        Ok(root) => root.uuid,
        Err(error) if is(&error, libc::EPERM) => return Ok(()),
        Err(error) => return Err(error),
    };
    xattr::set_fd(directory, &key(name)?, &uuid)
}

/// Whether a subvolume is noted under a name.
pub fn is_marked(directory: BorrowedFd<'_>, name: &Name) -> io::Result<bool> {
    match key(name) {
        Ok(key) => Ok(xattr::get_fd(directory, &key)?.is_some()),
        Err(_too_long) => Ok(false),
    }
}

/// Whether an attribute is such a note, which belongs to one directory and to no copy of it.
pub(crate) fn is_mark(key: &[u8]) -> bool {
    key.starts_with(PREFIX)
}

/// Forgets what was noted of a name.
pub fn unmark(directory: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    if is_marked(directory, name)? {
        xattr::remove_fd(directory, &key(name)?)?;
    }
    Ok(())
}

/// Looks whether every subvolume that is noted in a directory is there: itself, or one that was received as a copy of it,
/// or a snapshot of one of these.
pub fn find_lost(directory: BorrowedFd<'_>) -> io::Result<Option<Lost>> {
    for key in xattr::list_fd(directory)? {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let (Ok(name), Some(value)) = (Name::new(name), xattr::get_fd(directory, &key)?) else {
            continue;
        };
        let uuid = value.as_slice().try_into().or(Err(os_error(libc::EIO)))?;
        if let Some(found) = instead(directory, &name, uuid)? {
            return Ok(Some(Lost { name, found }));
        }
    }
    Ok(None)
}

fn instead(directory: BorrowedFd<'_>, name: &Name, uuid: Uuid) -> io::Result<Option<Instead>> {
    let opened = match open_directory(directory, name) {
        Err(error)
            if [libc::ENOENT, libc::ENOTDIR, libc::ELOOP]
                .iter()
                .any(|no| is(&error, *no)) =>
        {
            return Ok(Some(Instead::Nothing));
        }
        opened => opened?,
    };
    let opened = opened.as_fd();
    if !is_subvolume(opened)? {
        return Ok(Some(Instead::Directory));
    }
    let root = id(opened).and_then(|tree| Root::of(opened, tree));
    match root.and_then(|root| root.stems_from(opened, uuid)) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(Instead::Another)),
        // In a user namespace no one can tell one subvolume from another.
        Err(error) if is(&error, libc::EPERM) => Ok(None),
        Err(error) => Err(error),
    }
}

fn key(name: &Name) -> io::Result<Vec<u8>> {
    /// `XATTR_NAME_MAX`.
    const MOST_BYTES: usize = 255;
    let key = [PREFIX, name.as_bytes()].concat();
    if key.len() > MOST_BYTES {
        return Err(os_error(libc::ENAMETOOLONG));
    }
    Ok(key)
}
