//! The system calls that a process keeps which only computes.
//!
//! Invariant: what is not in the list is refused; no call of the list opens, starts or reaches anything.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Reading and writing what is open, memory, time, threads, and the end: what `strace` saw when the drivers that ship were
/// compiled, and what the C library needs besides to abort (`getpid`, `tgkill`) and to end a thread. It tries to open a file of
/// `/proc` as well, and takes the refusal.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Forbids this process, for good, every system call that is not needed for computing: nothing can be opened, executed,
/// mounted, connected or signalled, and no memory becomes executable. A forbidden call fails with EPERM, which libraries
/// that only try something can live with.
///
/// # Errors
/// ENOSYS where the filter does not know the processor, EINVAL where the kernel has no filters.
pub fn allow_computation() -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|_unknown| io::Error::from_raw_os_error(libc::ENOSYS))?;
    let (refuse, no_such_call) = (errno(libc::EPERM), errno(libc::ENOSYS));
    let computation = SeccompFilter::new(rules()?, refuse, SeccompAction::Allow, arch);
    // The flags of clone3 lie in memory, where no filter sees them. The C library takes clone instead if there is no clone3.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = SeccompFilter::new(clone3, SeccompAction::Allow, no_such_call, arch);
    // In this order: the filter for computation forbids another filter. It leaves clone3 to the one before it.
    for filter in [clone3, computation] {
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(invalid)?;
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn errno(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn invalid(error: seccompiler::BackendError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn rules() -> io::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<_, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let executable = protection(libc::PROT_EXEC);
    rules.insert(libc::SYS_mmap, vec![only(2, executable, 0)?]);
    rules.insert(libc::SYS_mprotect, vec![only(2, executable, 0)?]);
    // A thread shares memory with this process and every limit; a process of its own would have new ones.
    let thread = protection(libc::CLONE_THREAD | libc::CLONE_VM);
    rules.insert(libc::SYS_clone, vec![only(0, thread, thread)?]);
    rules.insert(libc::SYS_clone3, Vec::new());
    // A signal to itself is how the C library aborts.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![only(0, u64::from(u32::MAX), own)?]);
    Ok(rules)
}

fn protection(bits: libc::c_int) -> u64 {
    u64::from(bits.unsigned_abs())
}

/// Matches calls whose argument has, of the bits of `mask`, exactly those of `value`.
fn only(argument: u8, mask: u64, value: u64) -> io::Result<SeccompRule> {
    let has = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, has, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(invalid)
}
