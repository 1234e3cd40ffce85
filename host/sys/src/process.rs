//! What a child process does to itself before it runs someone else's bytes, and what it uses; when other processes end; threads that are idle.
//!
//! Invariant: nothing here acts on another process.

mod child;
mod idle;
mod watch;

pub use child::{ChildProcess, Program};
pub use idle::IdleReads;
pub use watch::{ProcessWatch, open_process, process_of, process_start};

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::raw::check;

/// The first descriptor after standard input, output and error.
const FIRST_EXTRA: libc::c_uint = 3;

/// Closes every descriptor but standard input, output and error. Meant as the first act of a child
/// process, before it opens anything: whatever else is open was leaked into it.
///
/// # Errors
/// ENOSYS before Linux 5.9.
#[expect(unsafe_code, reason = "neither rustix nor nix wraps close_range")]
pub fn close_extra_fds() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of this process.
    let returned =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST_EXTRA, libc::c_uint::MAX, 0_u32) };
    check(returned).map(drop)
}

/// What a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes of address space.
    pub address_space: u64,
    /// Seconds of processor time, of all threads together.
    pub cpu_seconds: u64,
}

/// Limits this process, and lets it open nothing more, grow no file and write no core file. A limit that the process already
/// has is not raised. What is open stays open.
pub fn limit_process(limits: ProcessLimits) -> io::Result<()> {
    lower(Resource::As, limits.address_space, 0)?;
    // A second between the two limits, so that the end by this limit has a signal of its own: SIGXCPU.
    lower(Resource::Cpu, limits.cpu_seconds, 1)?;
    lower(Resource::Nofile, 0, 0)?;
    lower(Resource::Fsize, 0, 0)?;
    lower(Resource::Core, 0, 0)
}

/// Waits until a descriptor has something to read or has ended, but no longer than `patience`; says whether it has.
pub fn wait_for_input(descriptor: BorrowedFd<'_>, patience: Duration) -> io::Result<bool> {
    let mut waited = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let patience = Timespec::try_from(patience).ok();
    match poll(&mut waited, patience.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a pipe hold at least so many bytes.
///
/// # Errors
/// EPERM where this process or its user has too many large pipes already.
pub fn widen_pipe(pipe: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(bytes))?;
    Ok(())
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// It used more processor time than it may: SIGXCPU.
    OutOfTime,
    /// It gave up, as a program does that gets no memory or has no stack left: SIGABRT.
    Aborted,
    /// It touched memory that it does not have: SIGSEGV, SIGBUS, or it ran what is no instruction: SIGILL.
    Crashed,
    /// By another signal, of this number.
    Signal(i32),
}

/// How a process ended that was waited for.
pub fn ending(status: ExitStatus) -> Ending {
    match status.signal() {
        None => Ending::Code(status.code().unwrap_or_default()),
        Some(libc::SIGXCPU) => Ending::OutOfTime,
        Some(libc::SIGABRT) => Ending::Aborted,
        Some(libc::SIGSEGV | libc::SIGBUS | libc::SIGILL) => Ending::Crashed,
        Some(signal) => Ending::Signal(signal),
    }
}

/// Processor time that the calling thread has used, in the kernel and out of it.
pub fn thread_cpu_time() -> Duration {
    cpu_time(ClockId::ThreadCPUTime)
}

/// Processor time that all threads of this process have used, in the kernel and out of it.
pub fn process_cpu_time() -> Duration {
    cpu_time(ClockId::ProcessCPUTime)
}

fn cpu_time(clock: ClockId) -> Duration {
    let used = clock_gettime(clock);
    let nanoseconds = u32::try_from(used.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), nanoseconds)
}

/// The peak and the current resident memory of this process, in bytes and in this order.
///
/// # Errors
/// `InvalidData` when the kernel does not tell.
pub fn peak_and_current_rss() -> io::Result<(u64, u64)> {
    let status = std::fs::read("/proc/self/status")?;
    let peak = kibibytes(&status, b"VmHWM:");
    let current = kibibytes(&status, b"VmRSS:");
    peak.zip(current).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "`/proc/self/status` does not tell the memory",
        )
    })
}

/// Sets a limit, and one that is `more` above it as the one that the process cannot pass by itself.
fn lower(resource: Resource, wanted: u64, more: u64) -> io::Result<()> {
    let hard = rustix::process::getrlimit(resource).maximum;
    let at_most = |wanted: u64| Some(hard.map_or(wanted, |hard| hard.min(wanted)));
    Ok(setrlimit(
        resource,
        Rlimit {
            current: at_most(wanted),
            maximum: at_most(wanted.saturating_add(more)),
        },
    )?)
}

/// The value of one line such as `VmRSS:     1234 kB`, in bytes.
fn kibibytes(status: &[u8], field: &[u8]) -> Option<u64> {
    let line = status
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(field))?;
    let number = line.trim_ascii().strip_suffix(b"kB")?.trim_ascii();
    std::str::from_utf8(number)
        .ok()?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_known() {
        let (peak, current) = peak_and_current_rss().unwrap();
        assert!(current > 100_000 && peak >= current);
    }

    #[test]
    fn a_status_line_is_read_in_bytes() {
        let status = b"Name:\tx VmRSS: 1 kB\nVmHWM:\t     128 kB\nVmRSS:\tmany kB\n";
        assert_eq!(kibibytes(status, b"VmHWM:"), Some(128 * 1024));
        assert_eq!(kibibytes(status, b"VmRSS:"), None);
        assert_eq!(kibibytes(status, b"VmPeak:"), None);
    }
}
