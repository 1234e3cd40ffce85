//! The entries of a directory, a page at a time.
//!
//! Invariant: memory for one page, and for a directory that is closed meanwhile none; reading then goes on where it was.

use std::io;
use std::os::fd::BorrowedFd;
use std::vec;

use rustix::fs::{FileType, RawDir, SeekFrom, seek};

use super::trail::Level;
use crate::Name;
use crate::node::{self, Kind};
use crate::raw::os_error;

/// One entry of a directory.
pub(super) struct Entry {
    pub(super) name: Name,
    /// Its inode number; of a directory that something is mounted on, or of a subvolume, another one than its own.
    pub(super) inode: u64,
    file_type: FileType,
    next_position: u64,
}

impl Entry {
    /// Whether it is a directory. Not every file system tells the type along with the name.
    pub(super) fn is_directory(&self, dir: BorrowedFd<'_>) -> io::Result<bool> {
        match self.file_type {
            FileType::Directory => Ok(true),
            FileType::Unknown => Ok(node::stat(dir, &self.name)?.kind == Kind::Directory),
            _ => Ok(false),
        }
    }
}

/// Where the reading of a directory stands.
#[derive(Default)]
pub(super) struct Pages {
    /// The rest of the page that was read last.
    page: vec::IntoIter<Entry>,
    /// Where reading goes on after the last entry that was taken from the page.
    position: u64,
    must_seek: bool,
    is_read: bool,
}

impl Pages {
    /// The next entry of the directory; `None` at the end.
    pub(super) fn next(
        &mut self,
        dir: BorrowedFd<'_>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.page.next() {
                self.position = entry.next_position;
                return Ok(Some(entry));
            }
            if self.is_read {
                return Ok(None);
            }
            if self.must_seek {
                seek(dir, SeekFrom::Start(self.position))?;
                self.must_seek = false;
            }
            let page = read_page(RawDir::new(dir, buffer.spare_capacity_mut()))?;
            self.is_read = page.is_empty();
            self.page = page.into_iter();
        }
    }
}

impl Level for Pages {
    fn closed(&mut self) {
        self.page = Vec::new().into_iter();
        self.must_seek = true;
        self.is_read = false;
    }
}

/// What one call of the kernel gives; empty at the end.
fn read_page(mut entries: RawDir<'_, BorrowedFd<'_>>) -> io::Result<Vec<Entry>> {
    let mut page = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if !matches!(bytes, b"." | b"..") {
            page.push(Entry {
                // A name that is none comes from a broken file system only.
                name: Name::new(bytes).or(Err(os_error(libc::EIO)))?,
                inode: entry.ino(),
                file_type: entry.file_type(),
                next_position: entry.next_entry_cookie(),
            });
        }
        if entries.is_buffer_empty() && !page.is_empty() {
            break;
        }
    }
    Ok(page)
}
