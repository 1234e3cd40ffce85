//! Whether two files hold the same bytes.
//!
//! Invariant: memory is bounded whatever the sizes, and what is a hole in both is not read but in files that one read takes.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::{COPY_BYTES, read_full_at};
use crate::node::stat_fd;

/// Whether two regular files have the same content. Different sizes are told without reading. `go_on` is asked before
/// each 128 KiB.
///
/// # Errors
/// `Interrupted` once `go_on` says no; what reading says.
pub fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>, go_on: &dyn Fn() -> bool) -> io::Result<bool> {
    let (one, other) = (stat_fd(a)?, stat_fd(b)?);
    if one.size != other.size {
        return Ok(false);
    }
    if (one.device, one.inode) == (other.device, other.inode) {
        return Ok(true);
    }
    // Blocks tell nothing: EROFS counts those of holes too.
    let may_have_holes = one.size > COPY_BYTES as u64;
    let most = usize::try_from(one.size).map_or(COPY_BYTES, |size| size.min(COPY_BYTES));
    let (mut left, mut right) = (vec![0; most], vec![0; most]);
    let mut position = 0;
    while position < one.size {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if may_have_holes {
            position = data_from(a, position, one.size)?.min(data_from(b, position, one.size)?);
        }
        let (left, right) = (
            fill(a, &mut left, position)?,
            fill(b, &mut right, position)?,
        );
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            break;
        }
        position = position.saturating_add(left.len() as u64);
    }
    Ok(true)
}

/// Where the next data begins, at `size` at the latest.
fn data_from(fd: BorrowedFd<'_>, position: u64, size: u64) -> io::Result<u64> {
    match seek(fd, SeekFrom::Data(position)) {
        Ok(start) => Ok(start.min(size)),
        Err(Errno::NXIO) => Ok(size),
        // The file system cannot tell holes from data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(position),
        Err(error) => Err(error.into()),
    }
}

/// Reads as much as there is and fits.
#[expect(
    clippy::indexing_slicing,
    reason = "no more is filled than there is room: two empty parts would compare as the same content"
)]
fn fill<'a>(fd: BorrowedFd<'_>, buffer: &'a mut [u8], position: u64) -> io::Result<&'a [u8]> {
    let filled = read_full_at(fd, buffer, position)?;
    Ok(&buffer[..filled])
}
