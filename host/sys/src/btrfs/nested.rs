//! Subvolumes with those within them, which processes in a layer may make at any place and depth.
//!
//! The kernel neither copies nor removes them with the one around them. It tells where they hang, though, so that no
//! tree has to be walked.
//!
//! Invariant: a path that the kernel told is gone component by component, and what is found at its end must be the
//! subvolume that it was told for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::arguments::{LookupUser, Reference, References, call};
use super::subvolume::{check_subvolume, destroy, id, is_read_only, set_read_only, snapshot};
use crate::node::{self, open_directory};
use crate::raw::{is, os_error};
use crate::{Name, node::remove_directory};

/// Makes a snapshot of a subvolume and of all within it, and opens it. All can be changed.
///
/// # Errors
/// As [`snapshot`]; what was made by then is left under the name.
pub fn snapshot_tree(
    original: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &Name,
) -> io::Result<OwnedFd> {
    let made = snapshot(original, directory, name)?;
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let around = open_path(original, &path)?;
        for (_, below) in within(around.as_fd())? {
            let path = [path.as_slice(), &below].concat();
            copy_at(original, made.as_fd(), &path)?;
            pending.push(path);
        }
    }
    Ok(made)
}

/// Opens a subvolume once more, and all within it.
pub(super) fn open_all(subvolume: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut found = vec![node::reopen(subvolume)?];
    let mut next = 0;
    while let Some(around) = found.get(next) {
        let mut below = Vec::new();
        for (number, path) in within(around.as_fd())? {
            match open_path(around.as_fd(), &path) {
                // Someone moved or removed it meanwhile.
                Err(error) if is(&error, libc::ENOENT) => {}
                opened => below.extend(
                    Some(opened?)
                        .filter(|opened| id(opened.as_fd()).is_ok_and(|found| found == number)),
                ),
            }
        }
        found.extend(below);
        next += 1;
    }
    Ok(found)
}

/// Puts a snapshot of the subvolume at a path in the place of the empty directory that stands for it in the copy.
fn copy_at(original: BorrowedFd<'_>, copy: BorrowedFd<'_>, path: &[Name]) -> io::Result<()> {
    let Some((name, way)) = path.split_last() else {
        return Ok(());
    };
    let from = open_path(original, path)?;
    let to = open_path(copy, way)?;
    let before = node::stat_fd(to.as_fd())?;
    remove_directory(to.as_fd(), name)?;
    snapshot(from.as_fd(), to.as_fd(), name)?;
    // For the layer's eyes nothing has happened in this directory.
    node::set_modified_fd(to.as_fd(), before.modified)
}

/// Removes a subvolume with all within it.
///
/// # Errors
/// As [`destroy`], but for ENOTEMPTY; ESTALE when someone moves things meanwhile.
pub fn destroy_tree(directory: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    loop {
        match destroy(directory, name) {
            Err(error) if is(&error, libc::ENOTEMPTY) => {}
            done => return done,
        }
        let top = open_directory(directory, name)?;
        check_subvolume(top.as_fd())?;
        destroy_one_within(top)?;
    }
}

/// Removes one subvolume within another that has none within itself.
fn destroy_one_within(top: OwnedFd) -> io::Result<()> {
    let mut around = top;
    loop {
        // The kernel said that it is not empty: if nothing is found, someone was faster, or something else is wrong.
        let Some((number, path)) = within(around.as_fd())?.into_iter().next() else {
            return Err(os_error(libc::ENOTEMPTY));
        };
        let Some((name, way)) = path.split_last() else {
            return Err(os_error(libc::EIO));
        };
        if is_read_only(around.as_fd())? {
            set_read_only(around.as_fd(), false)?;
        }
        let directory = open_path(around.as_fd(), way)?;
        let found = open_directory(directory.as_fd(), name)?;
        if id(found.as_fd())? != number {
            return Err(os_error(libc::ESTALE));
        }
        match destroy(directory.as_fd(), name) {
            Err(error) if is(&error, libc::ENOTEMPTY) => around = found,
            done => return done,
        }
    }
}

/// The subvolumes directly within one, with their numbers, and their paths from its top.
fn within(subvolume: BorrowedFd<'_>) -> io::Result<Vec<(u64, Vec<Name>)>> {
    let mut references = References::new();
    let mut found = Vec::new();
    loop {
        let is_last = match call(subvolume, &mut references) {
            Ok(()) => true,
            // There are more; the kernel has noted where to go on.
            Err(error) if is(&error, libc::EOVERFLOW) => false,
            Err(error) => return Err(error),
        };
        for reference in references.found() {
            found.push((reference.tree, path_of(subvolume, *reference)?));
        }
        if is_last {
            return Ok(found);
        }
    }
}

fn path_of(subvolume: BorrowedFd<'_>, reference: Reference) -> io::Result<Vec<Name>> {
    let mut lookup = LookupUser::new(reference);
    call(subvolume, &mut lookup)?;
    lookup.components()
}

fn open_path(top: BorrowedFd<'_>, path: &[Name]) -> io::Result<OwnedFd> {
    let mut opened = node::reopen(top)?;
    for name in path {
        opened = open_directory(opened.as_fd(), name)?;
    }
    Ok(opened)
}
