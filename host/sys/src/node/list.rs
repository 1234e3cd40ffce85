//! The names in a directory.
//!
//! Invariant: the caller's descriptor is not moved, so that two operations can share it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, openat};

/// Bytes that one `getdents64` may fill: about a thousand entries, small enough to stay in the cache.
pub(crate) const LISTING_BYTES: usize = 32 * 1024;

/// Opens a directory once more, so that reading it begins at the start and disturbs no one.
pub(crate) fn reopen(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(dir, c".", flags, Mode::empty())?)
}

/// Reads the names of all entries but `.` and `..`, in byte order.
pub fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<Box<[u8]>>> {
    Ok(names_within(dir, usize::MAX)?.unwrap_or_default())
}

/// Memory that one name takes in a list of names.
pub fn name_cost(name: &[u8]) -> usize {
    name.len() + size_of::<Box<[u8]>>()
}

/// As [`names`], but gives up once the names take more than `most_bytes` of memory: `None`.
pub fn names_within(dir: BorrowedFd<'_>, most_bytes: usize) -> io::Result<Option<Vec<Box<[u8]>>>> {
    let reader = reopen(dir)?;
    let mut buffer = Vec::with_capacity(LISTING_BYTES);
    let mut entries = RawDir::new(reader, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        bytes = bytes.saturating_add(name_cost(name));
        if bytes > most_bytes {
            return Ok(None);
        }
        found.push(Box::from(name));
    }
    found.sort_unstable();
    Ok(Some(found))
}
