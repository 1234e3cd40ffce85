//! What the running kernel can do, found by trying.
//!
//! Invariant: facts never change while a process runs; they are found once.

use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::sys::utsname::uname;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{FsOpenFlags, fsopen};

use crate::mount::{Way, has_statmount, way};
use crate::xattr::has_at_calls;

/// What the running kernel can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFacts {
    /// The release, as `uname -r` tells it.
    pub release: String,
    /// `openat2` is there (Linux 5.6). Nothing works without it.
    pub openat2: bool,
    /// `fsopen` and its sisters are there and may be used (Linux 5.2).
    pub mount_api: bool,
    /// The layers of an overlay can be given as descriptors (Linux 6.13).
    pub overlay_fds: bool,
    /// `listmount`, `statmount` and unique mount ids are there (Linux 6.8).
    pub statmount: bool,
    /// `getxattrat` and its sisters are there (Linux 6.13).
    pub xattrat: bool,
    /// The types of file systems that the kernel has loaded, in the order of `/proc/filesystems`.
    pub filesystems: Vec<String>,
}

impl KernelFacts {
    /// Whether the kernel has loaded a type of file system, for instance `overlay` or `btrfs`.
    pub fn has_filesystem(&self, name: &str) -> bool {
        self.filesystems.iter().any(|known| known == name)
    }
}

/// What the running kernel can do. The first call tries it out; later calls are free.
pub fn kernel_facts() -> &'static KernelFacts {
    static FACTS: OnceLock<KernelFacts> = OnceLock::new();
    FACTS.get_or_init(find)
}

fn find() -> KernelFacts {
    // First: trying an overlay makes the kernel load the module, so that the list names it.
    let overlay_fds = way() == Way::Descriptors;
    KernelFacts {
        release: release(),
        openat2: has_openat2().is_ok(),
        mount_api: fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).is_ok(),
        overlay_fds,
        statmount: has_statmount(),
        xattrat: has_at_calls(),
        filesystems: filesystems(&std::fs::read_to_string("/proc/filesystems").unwrap_or_default()),
    }
}

fn has_openat2() -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat2(CWD, "/", flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
    openat2(
        root.as_fd(),
        ".",
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH,
    )?;
    Ok(())
}

fn release() -> String {
    uname()
        .map(|found| found.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The names in a text such as `nodev\tproc\n\text4\n`.
fn filesystems(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split('\t').next_back())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_types_are_read_with_and_without_a_device() {
        assert_eq!(
            filesystems("nodev\tproc\n\text4\nnodev\toverlay\n"),
            ["proc", "ext4", "overlay"]
        );
    }

    #[test]
    fn this_kernel_has_what_nothing_works_without() {
        let facts = kernel_facts();
        assert!(
            facts.openat2,
            "Linux 5.6 or later is needed, this is {}",
            facts.release
        );
        assert!(facts.has_filesystem("overlay"), "{:?}", facts.filesystems);
    }
}
