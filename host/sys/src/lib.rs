//! Raw Linux for Mica: every unsafe block and every system call, without policy.
//!
//! All functions are synchronous and act on an open descriptor and one checked [`Name`]. They return
//! [`std::io::Result`] with the kernel's error number, so that a caller can decide by it. Kernel
//! features are found by trying, and remembered in [`kernel_facts`].
//!
//! Linux 5.8 is needed at least (`openat2`, mount ids in `statx`); newer calls are used where they
//! are there.
//!
//! Invariant: no text with a slash reaches a system call that resolves it from a layer, no symbolic
//! link is followed, and no call here blocks on a pipe or opens a device. There is no path API for
//! the inside of a layer.

mod facts;
mod lease;
mod memory;
mod name;
mod namespace;
mod passed;
mod privilege;
mod process;
mod raw;
mod signals;
#[cfg(test)]
mod testing;

pub mod btrfs;
pub mod confine;
pub mod content;
pub mod errno;
pub mod filesystem;
pub mod mount;
pub mod node;
pub mod tree;
pub mod xattr;

pub use facts::{KernelFacts, kernel_facts};
pub use lease::has_writers;
pub use memory::sealed_copy;
pub use name::{Name, NameError};
pub use namespace::{MappedIds, detach_below, enter_own_namespaces, map_ids, mount_memory};
pub use passed::passed_sockets;
pub use privilege::{
    Privileges, close_on_exec, forbid_new_privileges, keep_capabilities, open_files_limit,
    privileges, raise_open_files,
};
pub use process::{
    ChildProcess, Ending, IdleReads, ProcessLimits, ProcessWatch, Program, close_extra_fds, ending,
    limit_process, open_process, peak_and_current_rss, process_cpu_time, process_of, process_start,
    thread_cpu_time, wait_for_input, widen_pipe,
};
pub use signals::when_asked_to_end;
