//! `mica:host/directory`: open regular files.
//!
//! Invariant: holes stay holes, and no call moves more than the host lets one call move.

use super::attributes::{self, Node};
use super::directory::{AttributeChanges, Attributes, Copied};
use super::{PAGE_BYTES, failed, no_glue, refused};
use crate::mica::host::mounts::Access;
use crate::mica::host::types::{Code, Failure};
use rustix::fs::{SeekFrom, copy_file_range, fstat, ftruncate, ioctl_ficlone, seek};
use rustix::io::{Errno, pread, pwrite};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// An open regular file.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    access: Access,
}

no_glue!(File);

impl File {
    pub(super) fn new(fd: OwnedFd, access: Access) -> Self {
        Self { fd, access }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn writable(&self) -> Result<&Self, Failure> {
        match self.access {
            Access::ReadWrite => Ok(self),
            Access::ReadOnly => Err(refused(Code::ReadOnly, "the file handle is read-only")),
        }
    }

    /// Reads the attributes.
    pub fn get_attributes(&self) -> Result<Attributes, Failure> {
        let found = fstat(self.fd()).map_err(failed("read attributes of the file"))?;
        Ok(attributes::attributes(&found))
    }

    /// Sets attributes.
    pub fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure> {
        attributes::set(Node::Open(self.writable()?.fd()), changes)
    }

    /// Reads up to `length` bytes; fewer only at the end.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let length = length as usize;
        check_length(length)?;
        let mut bytes = vec![0; length];
        let filled = read_full(self.fd(), &mut bytes, offset).map_err(failed("read the file"))?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes all of `bytes`.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        check_length(bytes.len())?;
        write_all(self.writable()?.fd(), bytes, offset).map_err(failed("write the file"))
    }

    /// Sets the size; what is added is a hole.
    pub fn set_size(&self, size: u64) -> Result<(), Failure> {
        ftruncate(self.writable()?.fd(), size).map_err(failed("set the file's size"))
    }

    /// Makes this empty file a copy of another's content.
    pub fn copy_content(&self, original: &Self) -> Result<Copied, Failure> {
        let (from, to) = (original.fd(), self.writable()?.fd());
        if ioctl_ficlone(to, from).is_ok() {
            return Ok(Copied::Reflink);
        }
        copy(from, to).map_err(failed("copy the file's content"))?;
        Ok(Copied::Bytes)
    }
}

pub(super) fn check_length(bytes: usize) -> Result<(), Failure> {
    match bytes {
        0..=PAGE_BYTES => Ok(()),
        _ => {
            let text =
                format!("{bytes} bytes in one call are more than {PAGE_BYTES}: `page_bytes`");
            Err(refused(Code::Limit, text))
        }
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_full(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    offset: u64,
) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pread(fd, rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

pub(super) fn write_all(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match pwrite(fd, rest, offset + done as u64) {
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies what is no hole, and gives the copy the same size.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let size = u64::try_from(fstat(from)?.st_size).unwrap_or(0);
    ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let data = match seek(from, SeekFrom::Data(at)) {
            // Holes only from here on.
            Err(Errno::NXIO) => break,
            data => data?,
        };
        at = seek(from, SeekFrom::Hole(data))?;
        copy_range(from, to, data, at)?;
    }
    Ok(())
}

fn copy_range(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    mut at: u64,
    end: u64,
) -> Result<(), Errno> {
    while at < end {
        let (mut read, mut written) = (at, at);
        let length = usize::try_from(end - at).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            Ok(0) => break,
            Ok(copied) => at += copied as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let mut buffer = vec![0; length.min(PAGE_BYTES)];
                let filled = read_full(from, &mut buffer, at)?;
                if filled == 0 {
                    break;
                }
                buffer.truncate(filled);
                write_all(to, &buffer, at)?;
                at += filled as u64;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether two files have the same bytes.
pub(super) fn same(new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Result<bool, Errno> {
    if fstat(new)?.st_size != fstat(old)?.st_size {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; PAGE_BYTES], vec![0; PAGE_BYTES]);
    let mut at = 0;
    loop {
        let (ours, theirs) = (read_full(new, &mut a, at)?, read_full(old, &mut b, at)?);
        if ours != theirs || a.get(..ours) != b.get(..theirs) {
            return Ok(false);
        }
        if ours < PAGE_BYTES {
            return Ok(true);
        }
        at += ours as u64;
    }
}
