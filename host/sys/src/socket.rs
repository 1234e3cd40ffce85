//! What the standard library cannot yet do with sockets.

use crate::raw::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Reads from a connected socket and leaves what was read where it is: it comes again, before what came later. Says how many
/// bytes there are.
///
/// # Errors
/// The kernel's: `WouldBlock` when there is nothing and the socket does not block.
#[expect(unsafe_code, reason = "no safe function looks into a unix socket")]
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes, all of them in the borrowed buffer.
    let read = unsafe {
        libc::recv(
            socket,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_PEEK,
        )
    };
    check(read as libc::c_long)
}
