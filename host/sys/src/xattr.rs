//! Extended attributes of one node, never of what a symbolic link points to.
//!
//! Linux 6.13 has the calls that take a directory and a name; before, the same nodes are reached
//! through the magic link of the directory's descriptor.
//!
//! Invariant: no name space is special here; what a driver may read and set is decided above.

mod calls;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::Name;
use crate::filesystem::statfs;
use crate::raw::{is, os_error};
use calls::Target;

pub(crate) use calls::has_at_calls;

/// The longest value and the longest list of names that the kernel gives, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Available bytes with which a file system has room for any attribute that it can keep at all.
const AMPLE_BYTES: u64 = 1 << 20;
/// What is tried first, on the stack: most nodes have no attribute at all or one short one.
const FIRST_BYTES: usize = 512;
/// How often a reading is repeated that a writer outgrew.
const MAX_ATTEMPTS: usize = 8;

/// Lists the full names of all attributes of `name`, in byte order. A file system that has none
/// gives an empty list.
pub fn list(dir: BorrowedFd<'_>, name: &Name) -> io::Result<Vec<Box<[u8]>>> {
    list_target(&Target::Entry(dir, name))
}

/// Lists the attributes of an open node, as [`list`] does.
pub fn list_fd(fd: BorrowedFd<'_>) -> io::Result<Vec<Box<[u8]>>> {
    list_target(&Target::Open(fd))
}

/// Reads one attribute of `name`: up to 64 KiB. `None` when the node does not have it or the file
/// system has none.
///
/// # Errors
/// EINVAL for a key with a NUL byte or an empty one.
pub fn get(dir: BorrowedFd<'_>, name: &Name, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    get_target(&Target::Entry(dir, name), key)
}

/// Reads one attribute of an open node, as [`get`] does.
///
/// # Errors
/// EINVAL for a key with a NUL byte or an empty one.
pub fn get_fd(fd: BorrowedFd<'_>, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    get_target(&Target::Open(fd), key)
}

/// Adds or replaces one attribute of `name`.
///
/// # Errors
/// EOPNOTSUPP where the file system has none of this name space, ENOSPC, EPERM for `user.*` on
/// anything but regular files and directories, E2BIG and ERANGE for sizes that it cannot keep, or
/// `InvalidInput` with a text.
pub fn set(dir: BorrowedFd<'_>, name: &Name, key: &[u8], value: &[u8]) -> io::Result<()> {
    let set = calls::set(&Target::Entry(dir, name), &checked(key)?, value);
    set.map_err(|error| told_apart(error, dir, value))
}

/// Adds or replaces one attribute of an open node, as [`set`] does.
///
/// # Errors
/// As [`set`].
pub fn set_fd(fd: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let set = calls::set(&Target::Open(fd), &checked(key)?, value);
    set.map_err(|error| told_apart(error, fd, value))
}

/// Tells a file system that is full from one that cannot keep so much for one node: ext4, for one,
/// has a block for all attributes of a node, and says ENOSPC in both cases.
fn told_apart(error: io::Error, fd: BorrowedFd<'_>, value: &[u8]) -> io::Error {
    if !is(&error, libc::ENOSPC) {
        return error;
    }
    let has_room = statfs(fd).is_ok_and(|found| {
        let has_inodes = found.total_inodes == 0 || found.free_inodes > 0;
        found.available_bytes >= AMPLE_BYTES && has_inodes
    });
    if !has_room {
        return error;
    }
    let text = format!(
        "the file system has room, but cannot keep {} bytes more of attributes for one file",
        value.len()
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Removes one attribute of `name`.
///
/// # Errors
/// ENODATA when the node does not have it.
pub fn remove(dir: BorrowedFd<'_>, name: &Name, key: &[u8]) -> io::Result<()> {
    calls::remove(&Target::Entry(dir, name), &checked(key)?)
}

/// Removes one attribute of an open node.
///
/// # Errors
/// ENODATA when the node does not have it.
pub fn remove_fd(fd: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    calls::remove(&Target::Open(fd), &checked(key)?)
}

fn list_target(target: &Target<'_>) -> io::Result<Vec<Box<[u8]>>> {
    let mut found = Vec::new();
    read_growing(
        |buffer| calls::list(target, buffer),
        |names| {
            found = names
                .split(|byte| *byte == 0)
                .filter(|name| !name.is_empty())
                .map(Box::from)
                .collect();
        },
    )?;
    found.sort_unstable();
    Ok(found)
}

fn get_target(target: &Target<'_>, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let key = checked(key)?;
    let mut value = Vec::new();
    let outcome = read_growing(
        |buffer| calls::get(target, &key, buffer),
        |bytes| value = bytes.to_vec(),
    );
    match outcome {
        Ok(true) => Ok(Some(value)),
        Ok(false) => Ok(None),
        Err(error) if is(&error, libc::ENODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads into the stack, and where that is too small into the most that there can be. Says whether
/// the file system has attributes at all.
#[expect(
    clippy::indexing_slicing,
    reason = "a value is no longer than the buffer that it was read into"
)]
fn read_growing(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    take: impl FnOnce(&[u8]),
) -> io::Result<bool> {
    let mut first = [0_u8; FIRST_BYTES];
    match read(&mut first) {
        Ok(length) => {
            take(&first[..length]);
            return Ok(true);
        }
        Err(error) if is(&error, libc::EOPNOTSUPP) => return Ok(false),
        Err(error) if is(&error, libc::ERANGE) => {}
        Err(error) => return Err(error),
    }
    let mut large = vec![0_u8; MAX_BYTES];
    for _ in 0..MAX_ATTEMPTS {
        match read(&mut large) {
            Ok(length) => {
                take(&large[..length]);
                return Ok(true);
            }
            Err(error) if is(&error, libc::ERANGE) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::RANGE.into())
}

/// A key as system calls want it.
fn checked(key: &[u8]) -> io::Result<CString> {
    if key.is_empty() {
        return Err(os_error(libc::EINVAL));
    }
    CString::new(key).map_err(|_nul| os_error(libc::EINVAL))
}
