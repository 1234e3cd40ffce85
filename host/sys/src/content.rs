//! The content of regular files: moved by the kernel, never through a driver.
//!
//! Invariant: only positions that the caller gives are used; the offset of a descriptor does not
//! matter, so that it can be shared.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::fs::{
    Advice, FallocateFlags, SeekFrom, copy_file_range, fadvise, fallocate, ftruncate,
    ioctl_ficlone, seek,
};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwrite};

use crate::node::{Attributes, stat_fd};
use crate::raw::os_error;

/// Bytes that one step of the slow copy moves.
const COPY_BYTES: usize = 128 * 1024;
/// The most that one `copy_file_range` is asked for: a gigabyte, so that a signal is not kept waiting.
const RANGE_BYTES: u64 = 1 << 30;

/// How the content of a file was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// The file system shares the blocks until one copy changes.
    Reflink,
    /// The bytes were copied; holes stayed holes.
    Bytes,
}

/// Makes the content of `to` a copy of the content of `from`: by reflink where the file system can,
/// else by bytes that the kernel moves. Holes stay holes. What `to` held before is gone.
///
/// # Errors
/// EINVAL when both are the same file, which keeps its content; what reading and writing say, and
/// `UnexpectedEof` when `from` shrinks meanwhile.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Copied> {
    let source = stat_fd(from)?;
    let target = stat_fd(to)?;
    if (source.device, source.inode) == (target.device, target.inode) {
        return Err(os_error(libc::EINVAL));
    }
    if target.size != 0 {
        ftruncate(to, 0)?;
    }
    if source.size == 0 {
        return Ok(Copied::Bytes);
    }
    match ioctl_ficlone(to, from) {
        Ok(()) => return Ok(Copied::Reflink),
        Err(error) if is_unable(error) => {}
        Err(error) => return Err(error.into()),
    }
    if is_dense(from, &source) {
        copy_range(from, to, 0, source.size)?;
    } else {
        copy_sparse(from, to, source.size)?;
    }
    Ok(Copied::Bytes)
}

/// Reads at `offset` into `buffer`; fewer bytes than it holds only near the end, 0 at the end.
pub fn read_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match pread(fd, &mut *buffer, offset) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

/// Reads at `offset` until `buffer` is full or the file ends. Answers how many bytes there were.
#[expect(
    clippy::indexing_slicing,
    reason = "the kernel reads no more than it has room for: another place would be wrong content"
)]
pub fn read_full_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_at(
            fd,
            &mut buffer[filled..],
            offset.saturating_add(filled as u64),
        )? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// `RWF_DONTCACHE`, of Linux 6.14: what was not in the page cache is not there afterwards.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Reads as [`read_at`], and leaves the page cache as it is where the kernel and the file system can: for whoever reads all of a
/// disk once. What is cached is read from there.
pub fn read_passing_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match preadv2(fd, &mut [IoSliceMut::new(buffer)], offset, DONT_CACHE) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return read_at(fd, buffer, offset);
            }
            read => return Ok(read?),
        }
    }
}

/// Has the page cache forget what it holds of a file, so that the next reading is of the device. What is not written yet stays.
pub fn forget_cached(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fadvise(fd, 0, None, Advice::DontNeed)?)
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// What the kernel says, and `WriteZero` when it takes nothing more. A part may have been written.
#[expect(
    clippy::indexing_slicing,
    reason = "the kernel writes no more than it is given"
)]
pub fn write_all_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut rest = bytes;
    let mut position = offset;
    while !rest.is_empty() {
        match pwrite(fd, rest, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                rest = &rest[written..];
                position = position.saturating_add(written as u64);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where the next bytes that are no hole lie, from `offset` to `size`: all of it where the file system cannot tell, and an empty
/// range at `size` if nothing follows but a hole. Moves the offset of the descriptor.
///
/// # Errors
/// What the kernel says.
pub fn next_data(fd: BorrowedFd<'_>, offset: u64, size: u64) -> io::Result<Range<u64>> {
    let start = match seek(fd, SeekFrom::Data(offset)) {
        Ok(start) => start.min(size),
        // Nothing but a hole up to the end.
        Err(Errno::NXIO) => return Ok(size..size),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(offset..size),
        Err(error) => return Err(error.into()),
    };
    let end = seek(fd, SeekFrom::Hole(start)).map_or(size, |end| end.min(size));
    Ok(start..end)
}

/// Cuts or extends a file to `length` bytes; what is added is a hole.
pub fn set_length(fd: BorrowedFd<'_>, length: u64) -> io::Result<()> {
    Ok(ftruncate(fd, length)?)
}

/// Reserves room for `length` bytes without changing the length of the file. A file system that
/// cannot reserve is no error.
///
/// # Errors
/// ENOSPC and EDQUOT when there is no room, EFBIG when no file can be that long.
pub fn preallocate(fd: BorrowedFd<'_>, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // To the kernel a larger number is a negative one.
    if i64::try_from(length).is_err() {
        return Err(os_error(libc::EFBIG));
    }
    loop {
        match fallocate(fd, FallocateFlags::KEEP_SIZE, 0, length) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether an error means that a way of copying is not there, rather than that the copy failed.
fn is_unable(error: Errno) -> bool {
    matches!(
        error,
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::PERM
    )
}

/// Whether a file has no holes. As many blocks as bytes are a hint only: they may lie beyond the end,
/// or hold attributes.
fn is_dense(fd: BorrowedFd<'_>, found: &Attributes) -> bool {
    found.blocks_512.saturating_mul(512) >= found.size
        && seek(fd, SeekFrom::Hole(0)).is_ok_and(|hole| hole >= found.size)
}

/// Copies the parts that hold data and leaves the holes.
fn copy_sparse(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> io::Result<()> {
    // The length first: it makes the hole at the end.
    ftruncate(to, size)?;
    let mut position = 0;
    while position < size {
        let Range { start, end } = next_data(from, position, size)?;
        copy_range(from, to, start, end)?;
        position = end.max(start.saturating_add(1));
    }
    Ok(())
}

/// Copies the bytes from `start` to `end`.
fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> io::Result<()> {
    let mut position = start;
    while position < end {
        let length = usize::try_from((end - position).min(RANGE_BYTES)).unwrap_or(COPY_BYTES);
        let (mut read_from, mut write_to) = (position, position);
        match copy_file_range(from, Some(&mut read_from), to, Some(&mut write_to), length) {
            // Some file systems say 0 although there is more; reading decides.
            Ok(0) => return copy_by_reading(from, to, position, end),
            Ok(copied) => position = position.saturating_add(copied as u64),
            Err(Errno::INTR) => {}
            Err(error) if is_unable(error) => return copy_by_reading(from, to, position, end),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Copies the bytes from `start` to `end` through memory.
#[expect(
    clippy::indexing_slicing,
    reason = "`wanted` is no more than the buffer, `read` no more than `wanted`"
)]
fn copy_by_reading(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    start: u64,
    end: u64,
) -> io::Result<()> {
    let mut buffer = vec![0_u8; COPY_BYTES];
    let mut position = start;
    while position < end {
        let wanted =
            usize::try_from(end - position).map_or(COPY_BYTES, |rest| rest.min(COPY_BYTES));
        let part = &mut buffer[..wanted];
        let read = read_at(from, part, position)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all_at(to, &part[..read], position)?;
        position = position.saturating_add(read as u64);
    }
    Ok(())
}

mod same;
#[cfg(test)]
mod tests;

pub use same::same;
