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
    names_after(dir, None, usize::MAX).map(|run| run.names)
}

/// Names of a directory that follow one another in byte order.
#[derive(Debug)]
pub struct Run {
    /// The names.
    pub names: Vec<Box<[u8]>>,
    /// Bytes that they take in memory.
    pub bytes: usize,
    /// Whether there are more behind them.
    pub has_more: bool,
}

/// Reads the first names in byte order behind `after`, as many as take `most_bytes`, but one at least. The kernel gives
/// names in no order: each run reads the whole directory, and keeps twice `most_bytes` of it meanwhile.
pub fn names_after(
    dir: BorrowedFd<'_>,
    after: Option<&[u8]>,
    most_bytes: usize,
) -> io::Result<Run> {
    let reader = reopen(dir)?;
    let mut buffer = Vec::with_capacity(LISTING_BYTES);
    let mut entries = RawDir::new(reader, buffer.spare_capacity_mut());
    let mut run = Run {
        names: Vec::new(),
        bytes: 0,
        has_more: false,
    };
    let mut bound: Option<Box<[u8]>> = None;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") || after.is_some_and(|after| name <= after) {
            continue;
        }
        // Once something was cut off, nothing behind the last name counts.
        if bound.as_deref().is_some_and(|bound| name > bound) {
            run.has_more = true;
            continue;
        }
        run.bytes += cost(name);
        run.names.push(Box::from(name));
        if run.bytes / 2 > most_bytes {
            run.cut(most_bytes);
            bound = run.names.last().cloned();
        }
    }
    run.cut(most_bytes);
    Ok(run)
}

impl Run {
    /// Sorts the names and keeps the first ones.
    fn cut(&mut self, most_bytes: usize) {
        self.names.sort_unstable();
        let mut bytes = 0;
        let kept = self.names.iter().take_while(|name| {
            bytes += cost(name);
            bytes <= most_bytes
        });
        let kept = kept.count().max(1);
        if kept < self.names.len() {
            self.names.truncate(kept);
            self.has_more = true;
            self.bytes = self.names.iter().map(|name| cost(name)).sum();
        }
    }
}

/// Bytes that a name takes in a list.
fn cost(name: &[u8]) -> usize {
    name.len() + size_of::<Box<[u8]>>()
}
