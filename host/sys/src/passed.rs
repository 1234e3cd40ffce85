//! Sockets that were open when this process began: sd_listen_fds(3).
//!
//! Invariant: a descriptor gets one owner, and is closed in children. The variables stay: they name this process by its
//! number, and so mean nothing to a child.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// As many as no service has.
const MAX_DESCRIPTORS: usize = 64;

/// Takes the sockets that the process was given, in their order: none when it was given none, and at a second call.
///
/// # Errors
/// `InvalidData` for a number of descriptors that is none; for a descriptor that is not open, or no socket that is listened
/// on, the kernel's answer and its number.
pub fn passed_sockets() -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let text = |name: &str| std::env::var(name).unwrap_or_default();
    let count = count(&text("LISTEN_PID"), &text("LISTEN_FDS"), std::process::id())?;
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let explained = |number| {
        let what = |error: io::Error| {
            let text = format!(
                "descriptor {number} of `LISTEN_FDS` is no socket that is listened on: {error}"
            );
            io::Error::new(error.kind(), text)
        };
        take(number).map_err(what)
    };
    (FIRST..).take(count).map(explained).collect()
}

/// How many there are for the process of this number.
fn count(pid: &str, count: &str, own: u32) -> io::Result<usize> {
    if pid.parse() != Ok(own) {
        return Ok(0);
    }
    let count = count.parse().ok().filter(|count| *count <= MAX_DESCRIPTORS);
    count.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "`LISTEN_FDS` is no number"))
}

#[expect(unsafe_code, reason = "a number becomes a descriptor")]
fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with this command only looks whether the number is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started this process gave it to no one else: the caller takes each once.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&owned, FdFlags::CLOEXEC)?;
    match socket_acceptconn(&owned)? {
        true => Ok(owned),
        false => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn only_this_process_is_meant_and_only_a_number_counts() {
        assert_eq!(count("7", "2", 7).unwrap(), 2);
        for (pid, fds) in [("8", "2"), ("", "2"), ("x", "x")] {
            assert_eq!(count(pid, fds, 7).unwrap(), 0);
        }
        for fds in ["", "x", "-1", "65"] {
            assert!(count("7", fds, 7).is_err(), "{fds}");
        }
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_told_from_one_that_is_listened_on() {
        let place = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(place.path().join("s")).unwrap();
        assert!(socket_acceptconn(OwnedFd::from(listener)).unwrap());
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(!socket_acceptconn(OwnedFd::from(one)).unwrap());
        let file = std::fs::File::open(place.path()).unwrap();
        assert!(socket_acceptconn(OwnedFd::from(file)).is_err());
    }
}
