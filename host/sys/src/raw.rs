//! What the raw system calls of this crate share: their result and the path of a descriptor.
//!
//! Invariant: the only absolute paths made here begin with `/proc/self/fd/` and a number.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Name;

/// Turns the return value of a system call into a result.
///
/// # Errors
/// The error number that the call left behind.
pub(crate) fn check(returned: libc::c_long) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_negative| io::Error::last_os_error())
}

/// An error of this crate's own that speaks the kernel's language.
pub(crate) fn os_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Whether `error` carries the error number `number`.
pub(crate) fn is(error: &io::Error, number: i32) -> bool {
    error.raw_os_error() == Some(number)
}

/// The magic link of a descriptor: it leads to the open node itself, whatever its name is by now.
pub(crate) fn descriptor_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A name below an open directory as an absolute path, for the few calls that take no descriptor.
/// Only the last component is resolved in the directory.
pub(crate) fn entry_path(dir: BorrowedFd<'_>, name: &Name) -> CString {
    let mut path = descriptor_path(dir).into_bytes();
    path.push(b'/');
    path.extend_from_slice(name.as_bytes());
    CString::new(path).expect("neither a name nor the prefix holds a NUL byte")
}
