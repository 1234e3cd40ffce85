//! What a process gives away before it reads a stranger's bytes.
//!
//! Every function acts on the calling process alone, cannot be undone, and says when the kernel does not offer it. They are
//! meant for a process with one thread: rights of threads that run already are not touched. What they forbid is inherited by
//! threads that are started later.
//!
//! Invariant: nothing here opens, starts or looks at anything of another process.

mod calls;

pub use calls::allow_computation;

use std::fmt;
use std::io;

use crate::process::{ProcessLimits, limit_process};
use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{
    DumpableBehavior, Signal, chdir, getppid, pivot_root, set_dumpable_behavior,
    set_parent_process_death_signal,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

/// What a process can give away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// File systems: [`leave_file_systems`].
    FileSystems,
    /// Privileges: [`drop_privileges`].
    Privileges,
    /// Access by name: [`deny_files`].
    Landlock,
    /// System calls: [`allow_computation`].
    SystemCalls,
}

/// What a process could not give away, and why.
#[derive(Debug)]
pub struct Lack {
    /// What it was.
    pub wall: Wall,
    /// The kernel's answer.
    pub error: io::Error,
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileSystems => "empty mount namespace",
            Self::Privileges => "no privileges",
            Self::Landlock => "Landlock",
            Self::SystemCalls => "seccomp",
        })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.wall, self.error)
    }
}

/// Gives away everything that is not needed for computing, and says what the kernel did not let this process give away.
///
/// # Errors
/// When memory and time cannot be limited.
pub fn give_away(limits: ProcessLimits) -> io::Result<Vec<Lack>> {
    let lack = |wall, done: io::Result<()>| done.err().map(|error| Lack { wall, error });
    let mut lacks = Vec::new();
    // Mounting needs the privileges, Landlock needs that there will be none.
    lacks.extend(lack(Wall::FileSystems, leave_file_systems()));
    lacks.extend(lack(Wall::Privileges, drop_privileges()));
    lacks.extend(lack(Wall::Landlock, deny_files()));
    limit_process(limits)?;
    // The last one: it forbids the calls above.
    lacks.extend(lack(Wall::SystemCalls, allow_computation()));
    Ok(lacks)
}

/// Lets this process be killed when the thread that started it ends. `parent` is the number of the process that should have
/// started it.
///
/// # Errors
/// ESRCH when that process has ended already.
pub fn end_with_parent(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that ended before the call sends no signal.
    let found = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if found == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// Moves this process to a mount namespace of its own that holds one empty, read-only directory.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; EINVAL where the root cannot be exchanged, in an initial RAM disk for instance.
pub fn leave_file_systems() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    // Any directory would do as the place of the new root; this one is there wherever a process could have been started
    // through `/proc/self/exe`.
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("none", "/proc", "tmpfs", flags, c"size=4k,mode=000")?;
    chdir("/proc")?;
    // With one directory for both, the old root lies on top of the new one and can be taken off at once.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}

/// Drops all capabilities, refuses any that an exec would give, and keeps other processes of this user from looking in.
pub fn drop_privileges() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets)?;
    set_no_new_privs(true)?;
    // Without this a core file could still be written: a core handler that is a program disregards the limit of zero.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Forbids every access to files by name, TCP, and signals to others, by Landlock without a single rule.
///
/// # Errors
/// ENOSYS where the kernel has no Landlock (before Linux 5.13, or not enabled).
pub fn deny_files() -> io::Result<()> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V6))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V6)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self())
        .map_err(io::Error::other)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::TcpListener;
    use std::process::Command;
    use std::thread;

    /// Runs on a thread of its own, to which everything here is limited, and gives back what could not be done.
    fn confined(work: impl FnOnce() + Send + 'static) -> Vec<String> {
        let confined = thread::spawn(move || {
            let steps = [
                leave_file_systems(),
                drop_privileges(),
                deny_files(),
                allow_computation(),
            ];
            work();
            let lacks = steps.into_iter().filter_map(Result::err);
            lacks.map(|error| error.to_string()).collect()
        });
        confined.join().unwrap()
    }

    fn number(error: &io::Error) -> Option<i32> {
        error.raw_os_error()
    }

    #[test]
    fn a_confined_thread_computes_and_does_nothing_else() {
        let lacks = confined(|| {
            let large =
                thread::spawn(|| vec![1_u8; 1 << 22].iter().filter(|one| **one == 1).count());
            assert_eq!(large.join().unwrap(), 1 << 22);
            for path in ["/", "/etc/passwd", "/proc/self/exe", "."] {
                let refused = File::open(path).unwrap_err();
                assert_eq!(number(&refused), Some(libc::EPERM), "{path}");
            }
            assert!(TcpListener::bind("127.0.0.1:0").is_err());
            assert!(Command::new("/bin/true").spawn().is_err());
            assert!(unshare(CloneFlags::CLONE_NEWUSER).is_err());
            let signalled = rustix::process::test_kill_process(rustix::process::getpid());
            assert!(signalled.is_err());
        });
        assert_eq!(lacks, [""; 0], "run as root on Linux 5.13 or later");
    }

    #[test]
    fn a_confined_thread_makes_no_memory_executable() {
        let lacks = confined(|| {
            for (protection, is_allowed) in [
                (libc::PROT_READ | libc::PROT_WRITE, true),
                (libc::PROT_READ | libc::PROT_EXEC, false),
            ] {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                #[expect(unsafe_code, reason = "rustix is built without memory mappings")]
                // SAFETY: a new mapping that nothing refers to; it stays until the process ends.
                let mapped =
                    unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
                assert_eq!(mapped != libc::MAP_FAILED, is_allowed, "{protection}");
            }
        });
        assert_eq!(lacks, [""; 0], "run as root on Linux 5.13 or later");
    }

    #[test]
    fn without_file_systems_there_is_nothing_below_the_root() {
        let left = thread::spawn(|| {
            leave_file_systems().unwrap();
            let listed = std::fs::read_dir("/");
            // A directory of mode 000 is read by whoever may read everything.
            (
                listed.map(Iterator::count).unwrap(),
                File::open("/etc/passwd").is_ok(),
            )
        });
        assert_eq!(left.join().unwrap(), (0, false));
        assert!(File::open("/etc/passwd").is_ok());
    }

    #[test]
    fn whoever_was_not_started_by_the_parent_is_told() {
        let told = thread::spawn(|| end_with_parent(1 << 30).unwrap_err());
        assert_eq!(number(&told.join().unwrap()), Some(libc::ESRCH));
    }
}
