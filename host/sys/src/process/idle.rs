//! A thread that runs and reads only when nobody else wants to.
//!
//! Invariant: a thread that is idle holds no lock that another waits for: it may stand still for as long as others work.

use std::io;
use std::marker::PhantomData;

use crate::raw::check;

/// Of `ioprio_set`: it is about a thread, and this one.
const WHO_PROCESS: libc::c_int = 1;
/// Its classes: reads that wait for everyone else's, and what a thread has that was given none.
const IO_IDLE: libc::c_int = 3 << 13;
const IO_NONE: libc::c_int = 0;

/// This thread is idle until this goes.
#[derive(Debug)]
pub struct IdleThread(PhantomData<*const ()>);

impl IdleThread {
    /// Makes this thread idle: `SCHED_IDLE`, and the idle class of reads, which only some schedulers of disks obey. Needs no
    /// privilege.
    ///
    /// # Errors
    /// The kernel's answer; the thread is then as it was.
    pub fn begin() -> io::Result<Self> {
        schedule(libc::SCHED_IDLE)?;
        // Made first, so that it is put right if the second call fails.
        let idle = Self(PhantomData);
        set_io(IO_IDLE)?;
        Ok(idle)
    }
}

impl Drop for IdleThread {
    fn drop(&mut self) {
        // What a thread could take, it can give back; an error leaves it slow, and nothing else.
        let _scheduled = schedule(libc::SCHED_OTHER);
        let _set = set_io(IO_NONE);
    }
}

#[expect(
    unsafe_code,
    reason = "neither rustix nor nix wraps sched_setscheduler"
)]
fn schedule(policy: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure outlives the call, which only reads it; 0 is this thread.
    let returned = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    check(libc::c_long::from(returned)).map(drop)
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
    fn a_thread_is_idle_for_as_long_as_it_says() {
        let before = now();
        let idle = IdleThread::begin().unwrap();
        assert_eq!(now(), (libc::SCHED_IDLE, libc::c_long::from(IO_IDLE)));
        drop(idle);
        assert_eq!(now().0, before.0);
        assert_ne!(now().1, libc::c_long::from(IO_IDLE));
    }
}
