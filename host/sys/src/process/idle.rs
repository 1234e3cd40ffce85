//! A thread whose reads of a disk wait for everyone else's.
//!
//! The processor is not given up as well: a thread that was `SCHED_IDLE` may leave that only with `CAP_SYS_NICE`, which the daemon
//! does not keep, and would hold locks as one that everybody outranks.
//!
//! Invariant: ends with what the thread had before, whatever its capabilities.

use std::io;
use std::marker::PhantomData;

use crate::raw::check;

/// Of `ioprio_set`: it is about a thread, and this one.
const WHO_PROCESS: libc::c_int = 1;
/// Its classes: reads that wait for everyone else's, and what a thread has that was given none.
const IO_IDLE: libc::c_int = 3 << 13;
const IO_NONE: libc::c_int = 0;

/// The reads of this thread are idle until this goes.
#[derive(Debug)]
pub struct IdleReads(PhantomData<*const ()>);

impl IdleReads {
    /// Gives this thread the idle class of reads, which only some schedulers of disks obey. Needs no privilege.
    ///
    /// # Errors
    /// The kernel's answer; the thread is then as it was.
    pub fn begin() -> io::Result<Self> {
        set_io(IO_IDLE)?;
        Ok(Self(PhantomData))
    }
}

impl Drop for IdleReads {
    fn drop(&mut self) {
        // The kernel wants a privilege for the real-time class only.
        let _set = set_io(IO_NONE);
    }
}

#[expect(unsafe_code, reason = "neither rustix nor nix wraps ioprio_set")]
fn set_io(class: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of this process; 0 is this thread.
    let returned = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, class) };
    check(returned).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(unsafe_code, reason = "neither rustix nor nix wraps these calls")]
    fn now() -> (libc::c_int, libc::c_long) {
        // SAFETY: both calls take numbers and touch no memory of this process.
        unsafe {
            let io = libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0);
            (libc::sched_getscheduler(0), io)
        }
    }

    #[test]
    fn the_reads_of_a_thread_are_idle_for_as_long_as_it_says() {
        let before = now();
        let idle = IdleReads::begin().unwrap();
        assert_eq!(now(), (before.0, libc::c_long::from(IO_IDLE)));
        drop(idle);
        assert_ne!(now().1, libc::c_long::from(IO_IDLE));
        assert_eq!(now().0, before.0);
    }
}
