//! Namespaces of this process's own, in which a user without rights may mount.
//!
//! A process that enters a user namespace has all rights over mounts that it makes in there, and none beyond what its user has.
//! Which users there are in it is written by a process outside of it, see user_namespaces(7).
//!
//! Invariant: nothing here reaches another mount namespace.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::mount::mounts_below;

/// Which users a user namespace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappedIds {
    /// Those of the process that mapped them, under the same numbers.
    All,
    /// The user and the group of the process that mapped them, as 0.
    One,
}

/// Moves this process to a user namespace and a mount namespace of its own. It has one thread, and no user until
/// [`map_ids`] has been called for it.
///
/// # Errors
/// ENOSPC where no more user namespaces may be made, EPERM where users may make none, EINVAL with a second thread.
pub fn enter_own_namespaces() -> io::Result<()> {
    Ok(unshare(
        CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS,
    )?)
}

/// Gives the user namespace of a child process its users: all that this process knows if it is root, otherwise only its own.
///
/// # Errors
/// EPERM where that is not allowed.
pub fn map_ids(process: u32) -> io::Result<MappedIds> {
    let file = |name: &str| format!("/proc/{process}/{name}");
    if rustix::process::geteuid().is_root() {
        // What this process may not hand on it cannot map; then its own id is all there is.
        let all = ["uid_map", "gid_map"].map(|name| {
            let known = fs::read_to_string(format!("/proc/self/{name}"))?;
            fs::write(file(name), same(&known))
        });
        return all
            .into_iter()
            .collect::<io::Result<()>>()
            .map(|()| MappedIds::All);
    }
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    // Without it a user could leave a group that is denied something.
    fs::write(file("setgroups"), "deny")?;
    fs::write(file("uid_map"), format!("0 {user} 1"))?;
    fs::write(file("gid_map"), format!("0 {group} 1"))?;
    Ok(MappedIds::One)
}

/// The ids of a map, each as itself: a line is `first-inside first-outside count`.
fn same(known: &str) -> String {
    let lines = known.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (first, count) = (words.next()?, words.nth(1)?);
        Some(format!("{first} {first} {count}\n"))
    });
    lines.collect()
}

/// Covers a directory with an empty file system in memory, in this mount namespace.
pub fn mount_memory(directory: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("none", directory, "tmpfs", flags, c"mode=755")?)
}

/// Takes away all mounts of this mount namespace that lie in a directory, as far as that is allowed; what uses one keeps it
/// until it is done.
pub fn detach_below(directory: &Path) {
    let Ok(directory) = directory.canonicalize() else {
        return;
    };
    // The last ones lie over or in those before.
    for entry in mounts_below(&directory).unwrap_or_default().iter().rev() {
        let point = Path::new(OsStr::from_bytes(&entry.mount_point));
        if point != directory {
            let _stays = unmount(point, UnmountFlags::DETACH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_ids_is_handed_on_as_it_is() {
        let known = "         0          0 4294967295\n";
        assert_eq!(same(known), "0 0 4294967295\n");
        assert_eq!(same("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
