//! Names of nodes: links, renames and removal.
//!
//! Invariant: the last component is never followed, and no call but [`replace`] removes what it does not name.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, RenameFlags, linkat, readlinkat, renameat, renameat_with, unlinkat};

use crate::Name;

/// Reads the target of a symbolic link.
///
/// # Errors
/// EINVAL for any other node.
pub fn read_link(dir: BorrowedFd<'_>, name: &Name) -> io::Result<Vec<u8>> {
    Ok(readlinkat(dir, name.as_c_str(), Vec::new())?.into_bytes())
}

/// Gives the node `name` of `dir` the further name `new_name` in `target_dir`. A symbolic link
/// itself is linked, not what it points to.
///
/// # Errors
/// EEXIST when `new_name` is taken, EXDEV across file systems and mounts, EMLINK when the node has
/// as many names as the file system allows, EPERM for directories.
pub fn link(
    dir: BorrowedFd<'_>,
    name: &Name,
    target_dir: BorrowedFd<'_>,
    new_name: &Name,
) -> io::Result<()> {
    Ok(linkat(
        dir,
        name.as_c_str(),
        target_dir,
        new_name.as_c_str(),
        AtFlags::empty(),
    )?)
}

/// Moves `name` of `dir` to `new_name` in `target_dir`, atomically.
///
/// # Errors
/// EEXIST when `new_name` is taken, EXDEV across file systems and mounts, EINVAL when a directory
/// would move into itself.
pub fn rename(
    dir: BorrowedFd<'_>,
    name: &Name,
    target_dir: BorrowedFd<'_>,
    new_name: &Name,
) -> io::Result<()> {
    let flags = RenameFlags::NOREPLACE;
    Ok(renameat_with(
        dir,
        name.as_c_str(),
        target_dir,
        new_name.as_c_str(),
        flags,
    )?)
}

/// Exchanges `name` of `dir` and `other_name` of `other_dir`, atomically.
///
/// # Errors
/// ENOENT when one of them is not there, EXDEV across file systems and mounts, EINVAL where the file system cannot.
pub fn exchange(
    dir: BorrowedFd<'_>,
    name: &Name,
    other_dir: BorrowedFd<'_>,
    other_name: &Name,
) -> io::Result<()> {
    let (name, other_name) = (name.as_c_str(), other_name.as_c_str());
    let flags = RenameFlags::EXCHANGE;
    Ok(renameat_with(dir, name, other_dir, other_name, flags)?)
}

/// Moves `name` of `dir` to `new_name` in the same directory, atomically, in the place of whatever file has that name.
///
/// # Errors
/// ENOENT, EISDIR when `new_name` is a directory.
pub fn replace(dir: BorrowedFd<'_>, name: &Name, new_name: &Name) -> io::Result<()> {
    Ok(renameat(dir, name.as_c_str(), dir, new_name.as_c_str())?)
}

/// Removes a name that is not a directory.
///
/// # Errors
/// EISDIR for a directory.
pub fn remove_file(dir: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    Ok(unlinkat(dir, name.as_c_str(), AtFlags::empty())?)
}

/// Removes an empty directory.
///
/// # Errors
/// ENOTEMPTY, ENOTDIR for any other node, EBUSY for a mount point.
pub fn remove_directory(dir: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    Ok(unlinkat(dir, name.as_c_str(), AtFlags::REMOVEDIR)?)
}
