//! Removal of a whole tree.
//!
//! Invariant: only names in open directories are removed, so that a directory exchanged for a
//! symbolic link costs the link and nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, IFlags, RawDir, SeekFrom, ioctl_getflags, ioctl_setflags, seek};

use super::trail::{Level, Trail};
use crate::node::{
    Attributes, LISTING_BYTES, open_directory, open_regular, remove_directory, remove_file, stat_fd,
};
use crate::raw::{is, os_error};
use crate::{Name, btrfs};

/// How many directories of one level are remembered at a time.
const PENDING_COUNT: usize = 1024;
/// How often a directory is read again that someone else keeps filling.
const MAX_PASSES: u32 = 8;

/// A directory that is being emptied.
struct Emptied {
    name: Name,
    pending: Vec<Name>,
    is_read: bool,
    passes: u32,
}

impl Emptied {
    fn new(name: Name) -> Self {
        Self {
            name,
            pending: Vec::new(),
            is_read: false,
            passes: 0,
        }
    }
}

impl Level for Emptied {
    fn closed(&mut self) {
        // What is still there is found again.
        self.pending = Vec::new();
        self.is_read = false;
    }
}

/// Removes `name` with all that lies below it, of any depth, and says how many nodes that were; a
/// btrfs subvolume goes in one piece and counts as one. Symbolic links are removed, not followed.
/// Stops at the first failure; a further call goes on. Immutable and append-only nodes lose these flags first, which
/// needs CAP_LINUX_IMMUTABLE.
///
/// # Errors
/// EPERM without that capability; ENOENT when the name does not exist, EXDEV where something is mounted below it (EBUSY when that
/// is a file), ESTALE when someone moves directories of the tree away, ENOTEMPTY when someone keeps
/// filling it.
pub fn remove(dir: BorrowedFd<'_>, name: &Name) -> io::Result<u64> {
    match forced(dir, name, remove_file) {
        Ok(()) => return Ok(1),
        Err(error) if is(&error, libc::EISDIR) => {}
        Err(error) => return Err(error),
    }
    let top = open_directory(dir, name)?;
    let attributes = stat_fd(top.as_fd())?;
    if destroyed(dir, name, top.as_fd(), &attributes)? {
        return Ok(1);
    }
    let mut walk = Walk {
        trail: Trail::new(top, &attributes, Emptied::new(name.clone())),
        buffer: Vec::with_capacity(LISTING_BYTES),
        removed: 0,
    };
    while walk.step(dir)? {}
    Ok(walk.removed)
}

struct Walk {
    trail: Trail<Emptied>,
    buffer: Vec<u8>,
    removed: u64,
}

impl Walk {
    /// Goes down, reads on, or goes up. Says whether there is more to do.
    fn step(&mut self, outside: BorrowedFd<'_>) -> io::Result<bool> {
        let Some((dir, level)) = self.trail.lowest() else {
            return Ok(false);
        };
        if let Some(name) = level.pending.pop() {
            return self.descend(name);
        }
        if !level.is_read {
            let free = self.buffer.spare_capacity_mut();
            let (removed, is_read) = empty_page(RawDir::new(dir, free), dir, &mut level.pending)?;
            self.removed += removed;
            level.is_read = is_read;
            return Ok(true);
        }
        self.ascend(outside)
    }

    fn descend(&mut self, name: Name) -> io::Result<bool> {
        let Some((dir, _)) = self.trail.lowest() else {
            return Ok(false);
        };
        // Many directories are empty, and an empty one need not be opened.
        if remove_directory(dir, &name).is_ok() {
            self.removed += 1;
            return Ok(true);
        }
        match open_directory(dir, &name) {
            Ok(child) => {
                let attributes = stat_fd(child.as_fd())?;
                if destroyed(dir, &name, child.as_fd(), &attributes)? {
                    self.removed += 1;
                    return Ok(true);
                }
                self.trail.push(child, &attributes, Emptied::new(name));
            }
            // Someone else was faster.
            Err(error) if is(&error, libc::ENOENT) => {}
            // Someone put something else in its place.
            Err(error) if is(&error, libc::ELOOP) || is(&error, libc::ENOTDIR) => {
                self.removed += removed_count(forced(dir, &name, remove_file))?;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Removes the lowest directory, which is empty now.
    fn ascend(&mut self, outside: BorrowedFd<'_>) -> io::Result<bool> {
        let Some((_, level)) = self.trail.lowest() else {
            return Ok(false);
        };
        let name = level.name.clone();
        let above = self.trail.above()?.unwrap_or(outside);
        match forced(above, &name, remove_directory) {
            Err(error) if is(&error, libc::ENOTEMPTY) => return self.read_again(error),
            outcome => self.removed += removed_count(outcome)?,
        }
        self.trail.pop()?;
        Ok(true)
    }

    /// Some file systems skip entries when others are removed while they are read; and someone else
    /// may have made new ones.
    fn read_again(&mut self, reason: io::Error) -> io::Result<bool> {
        let Some((dir, level)) = self.trail.lowest() else {
            return Ok(false);
        };
        level.passes += 1;
        if level.passes > MAX_PASSES {
            return Err(reason);
        }
        seek(dir, SeekFrom::Start(0))?;
        level.is_read = false;
        Ok(true)
    }
}

/// Removes a subvolume with all within it. Says no if it is none, or must be emptied like any other
/// directory: without the capability for more, the kernel removes only an empty one.
fn destroyed(
    dir: BorrowedFd<'_>,
    name: &Name,
    opened: BorrowedFd<'_>,
    attributes: &Attributes,
) -> io::Result<bool> {
    if !btrfs::is_top(opened, attributes)? {
        return Ok(false);
    }
    if btrfs::destroy_tree(dir, name).is_ok() {
        return Ok(true);
    }
    if btrfs::is_read_only(opened)? {
        btrfs::set_read_only(opened, false)?;
    }
    Ok(false)
}

/// Removes what is not a directory and remembers the directories, until there are many of them.
/// Gives the number of names removed, and whether the end was reached.
fn empty_page(
    mut entries: RawDir<'_, BorrowedFd<'_>>,
    dir: BorrowedFd<'_>,
    pending: &mut Vec<Name>,
) -> io::Result<(u64, bool)> {
    let mut removed = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        let is_directory = entry.file_type() == FileType::Directory;
        // A name that is none comes from a broken file system only.
        let name = Name::new(bytes).or(Err(os_error(libc::EIO)))?;
        if is_directory {
            pending.push(name);
        } else {
            match forced(dir, &name, remove_file) {
                Err(error) if is(&error, libc::EISDIR) => pending.push(name),
                outcome => removed += removed_count(outcome)?,
            }
        }
        if pending.len() >= PENDING_COUNT && entries.is_buffer_empty() {
            return Ok((removed, false));
        }
    }
    Ok((removed, true))
}

/// Removes a name, if need be after its node and the directory have lost the flags that forbid it.
fn forced(
    dir: BorrowedFd<'_>,
    name: &Name,
    remove: fn(BorrowedFd<'_>, &Name) -> io::Result<()>,
) -> io::Result<()> {
    match remove(dir, name) {
        Err(error) if is(&error, libc::EPERM) => {
            let mut is_freed = clear_flags(dir)?;
            // Only regular files and directories have flags, and opening one does nothing to it.
            if let Ok(node) = open_directory(dir, name).or_else(|_| open_regular(dir, name)) {
                is_freed |= clear_flags(node.as_fd())?;
            }
            if is_freed {
                remove(dir, name)
            } else {
                Err(error)
            }
        }
        outcome => outcome,
    }
}

/// Takes the flags off an open node that forbid its removal. Says whether it had any.
fn clear_flags(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let forbidding = IFlags::IMMUTABLE | IFlags::APPEND;
    let Ok(flags) = ioctl_getflags(fd) else {
        // A file system without flags.
        return Ok(false);
    };
    if !flags.intersects(forbidding) {
        return Ok(false);
    }
    ioctl_setflags(fd, flags - forbidding)?;
    Ok(true)
}

/// One name is gone; that someone else removed it is as good, but not counted.
fn removed_count(outcome: io::Result<()>) -> io::Result<u64> {
    match outcome {
        Ok(()) => Ok(1),
        Err(error) if is(&error, libc::ENOENT) => Ok(0),
        Err(error) => Err(error),
    }
}
