//! What this process may do, and how it gives the rest up for good.
//!
//! Capabilities and `no_new_privs` belong to a thread, and a new thread has those of the one that starts it. So both are
//! given up while there is one thread.
//!
//! Invariant: nothing here gains a right; a call only takes rights away, or raises this process's limit of descriptors.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, no_new_privs, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use crate::raw::check;

/// The first descriptor after standard input, output and error.
const FIRST_EXTRA: libc::c_uint = 3;

/// What this process may do, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// Capabilities in effect, one bit each, with the numbers of `linux/capability.h`.
    pub effective: u64,
    /// Capabilities that this process or what it executes could ever have.
    pub bounding: u64,
    /// Whether nothing that is executed gains a right (`no_new_privs`).
    pub no_new_privileges: bool,
    /// Descriptors that may be open at once.
    pub open_files: u64,
}

/// What this process may do.
///
/// # Errors
/// The kernel's.
pub fn privileges() -> io::Result<Privileges> {
    let bounding = numbers().filter(|bit| is_in_bounding_set(*bit));
    Ok(Privileges {
        effective: capabilities(None)?.effective.bits(),
        bounding: bounding.fold(0, |bits, bit| bits | bit.bits()),
        no_new_privileges: no_new_privs()?,
        open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
    })
}

/// Gives up every capability that is not in `keep`, also for whatever is executed later.
///
/// # Errors
/// The kernel's. That the bounding set cannot be made smaller is none where this process lacks `CAP_SETPCAP`: then it
/// was made small before.
pub fn keep_capabilities(keep: u64) -> io::Result<()> {
    let keep = CapabilitySet::from_bits_retain(keep);
    let has = capabilities(None)?;
    let may_shrink = has.effective.contains(CapabilitySet::SETPCAP);
    // First, because it takes `CAP_SETPCAP`, which goes below.
    for bit in
        numbers().filter(|bit| may_shrink && !keep.contains(*bit) && is_in_bounding_set(*bit))
    {
        remove_capability_from_bounding_set(bit)?;
    }
    clear_ambient_capability_set()?;
    let kept = has.permitted & keep;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Every number that a capability may have, as its bit.
fn numbers() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

/// A number that the kernel does not know is in no set.
fn is_in_bounding_set(bit: CapabilitySet) -> bool {
    capability_is_in_bounding_set(bit).unwrap_or(false)
}

/// From now on nothing that is executed gains a right by its file: no set-user-id bit and no file capability counts.
///
/// # Errors
/// The kernel's.
pub fn forbid_new_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

/// Raises the limit of open descriptors to `wanted`, above the hard limit where that is allowed, and says what it is then.
/// A limit that is higher already stays.
///
/// # Errors
/// The kernel's, but for what is not allowed.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let has = getrlimit(Resource::Nofile);
    let hard = has.maximum.unwrap_or(u64::MAX);
    if has.current.is_none_or(|current| current >= wanted) {
        return Ok(has.current.unwrap_or(u64::MAX));
    }
    let raise = |current: u64, maximum: u64| {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        setrlimit(Resource::Nofile, limit)
    };
    match raise(wanted, wanted.max(hard)) {
        // Neither above the hard limit nor above `fs.nr_open`.
        Err(Errno::PERM) => raise(wanted.min(hard), hard)?,
        raised => raised?,
    }
    Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// How many descriptors this process may allow itself without a right to raise its hard limit.
pub fn open_files_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Closes every descriptor but standard input, output and error in what this process executes, whoever opened it.
///
/// # Errors
/// EINVAL before Linux 5.11, ENOSYS before 5.9.
#[expect(unsafe_code, reason = "neither rustix nor nix wraps close_range")]
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory of this process.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST_EXTRA,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    check(returned).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd as _, AsRawFd as _};

    /// Capabilities belong to a thread, so each test has one.
    fn apart(work: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let worker = scope.spawn(work);
            worker.join().unwrap();
        });
    }

    #[test]
    fn what_is_not_kept_is_gone_for_good() {
        const MKNOD: u64 = 1 << 27;
        apart(|| {
            let before = privileges().unwrap();
            keep_capabilities(MKNOD).unwrap();
            let after = privileges().unwrap();
            assert_eq!(after.effective, before.effective & MKNOD);
            if before.effective & CapabilitySet::SETPCAP.bits() != 0 {
                assert_eq!(after.bounding, before.bounding & MKNOD);
            }
            // Again, now without the right to shrink the bounding set.
            keep_capabilities(0).unwrap();
            assert_eq!(privileges().unwrap().effective, 0);
        });
    }

    #[test]
    fn no_new_privileges_stays() {
        apart(|| {
            forbid_new_privileges().unwrap();
            assert!(privileges().unwrap().no_new_privileges);
            assert!(set_no_new_privs(false).is_err());
        });
    }

    #[test]
    fn the_limit_of_descriptors_is_never_lowered() {
        let before = privileges().unwrap().open_files;
        assert_eq!(raise_open_files(1).unwrap(), before);
        assert!(raise_open_files(before.saturating_add(1)).unwrap() >= before);
    }

    #[test]
    fn descriptors_are_closed_in_children() {
        let null = std::fs::File::open("/dev/null").unwrap();
        // A number that no child uses by itself.
        let file = rustix::io::fcntl_dupfd_cloexec(&null, 700).unwrap();
        rustix::io::fcntl_setfd(file.as_fd(), rustix::io::FdFlags::empty()).unwrap();
        close_on_exec().unwrap();
        let child = std::process::Command::new("ls")
            .arg("/proc/self/fd")
            .output()
            .unwrap();
        let open = String::from_utf8(child.stdout).unwrap();
        let number = file.as_raw_fd().to_string();
        assert!(open.lines().all(|line| line != number), "{open}");
    }
}
