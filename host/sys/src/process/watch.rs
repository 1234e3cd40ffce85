//! Other processes: which one a number means, and when it ends.
//!
//! A number is given to another process once the first has ended, so a process is known by its number and the time of its start.
//!
//! Invariant: nothing is done to a process; it is only looked at.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

/// The number that means the end of the watch.
const END: u64 = u64::MAX;
/// The place of the start time among the fields of `/proc/PID/stat` that come after the name; proc(5) counts from 1, and the name is 2.
const START_FIELD: usize = 22 - 3;

/// When a process began, in the clock ticks since the boot that the kernel counts.
///
/// # Errors
/// `NotFound` when there is no such process; `InvalidData` when the kernel does not tell.
pub fn process_start(pid: u32) -> io::Result<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
    let unclear = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`/proc/{pid}/stat` does not tell a start"),
        )
    };
    start_of(&stat).ok_or_else(unclear)
}

/// The start in a line of `stat`. The name may have any characters, also parentheses, so the last one ends it.
fn start_of(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(START_FIELD)?.parse().ok()
}

/// A handle of a process: it means the same process for as long as it is open.
///
/// # Errors
/// `NotFound` when there is no such process. ENOSYS before Linux 5.3.
pub fn open_process(pid: u32) -> io::Result<OwnedFd> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or(io::ErrorKind::NotFound)?;
    match pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => Err(io::ErrorKind::NotFound.into()),
        opened => Ok(opened?),
    }
}

/// Waits for the ends of processes.
#[derive(Debug)]
pub struct ProcessWatch {
    epoll: OwnedFd,
    end: OwnedFd,
}

impl ProcessWatch {
    /// A watch of no process.
    pub fn new() -> io::Result<Self> {
        let watch = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            end: eventfd(0, EventfdFlags::CLOEXEC)?,
        };
        watch.add(&watch.end, END)?;
        Ok(watch)
    }

    /// Watches a process too. It ends with the handle.
    pub fn add(&self, process: &OwnedFd, number: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        epoll::add(&self.epoll, process, EventData::new_u64(number), flags)?;
        Ok(())
    }

    /// Waits until a process ends, and tells its number; nothing once the watch is to end. Blocks.
    pub fn next(&self) -> io::Result<Option<u64>> {
        loop {
            let mut events = [MaybeUninit::<Event>::uninit(); 1];
            match epoll::wait(&self.epoll, &mut events, None) {
                Ok((ready, _)) => {
                    if let Some(event) = ready.first() {
                        let number = event.data.u64();
                        return Ok((number != END).then_some(number));
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the watch.
    pub fn end(&self) {
        // A counter that is full ends it as well.
        let _told = rustix::io::write(self.end.as_fd(), &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_start_is_read_behind_any_name() {
        let fields: Vec<String> = (3..60).map(|field| field.to_string()).collect();
        let line = format!("7 (a) b ( c) {}", fields.join(" "));
        assert_eq!(start_of(line.as_bytes()), Some(22));
        assert_eq!(start_of(b"7 (a) S 1"), None);
        assert!(process_start(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn the_end_of_a_process_is_told_once_and_so_is_the_end_of_the_watch() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let handle = open_process(child.id()).unwrap();
        let watch = ProcessWatch::new().unwrap();
        watch.add(&handle, 5).unwrap();
        drop(child.stdin.take());
        assert_eq!(watch.next().unwrap(), Some(5));
        child.wait().unwrap();
        let pid = child.id();
        assert_eq!(
            open_process(pid).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        watch.end();
        assert_eq!(watch.next().unwrap(), None);
    }
}
