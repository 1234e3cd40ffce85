//! Name spaces: the one of users that this process lives in, and a private one of mounts for a
//! moment.
//!
//! Invariant: no mount made in the private name space is ever seen outside of it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};

/// The inode number of the first user name space: `PROC_USER_INIT_INO` of the kernel's sources.
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// Whether this process lives in a user name space other than the first one of the machine.
/// Overlays keep their marks in `user.*` attributes there, because `trusted.*` is out of reach.
pub fn in_user_namespace() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        std::fs::metadata("/proc/self/ns/user")
            .is_ok_and(|found| found.ino() != FIRST_USER_NAMESPACE)
    })
}

/// The extended attribute that marks a directory of an upper as opaque, with the value `y`.
pub fn opaque_xattr() -> &'static str {
    if in_user_namespace() {
        "user.overlay.opaque"
    } else {
        "trusted.overlay.opaque"
    }
}

/// The extended attribute of a directory of an upper that was copied up. Overlayfs looks for whiteouts in a directory that
/// only one layer has only where this is set; the value may be empty, for an origin that is not known.
pub fn origin_xattr() -> &'static str {
    if in_user_namespace() {
        "user.overlay.origin"
    } else {
        "trusted.overlay.origin"
    }
}

/// Runs `work` on a thread of its own that has a private copy of the mount table. The copy and all
/// that is mounted in it are gone when the thread ends.
pub(super) fn in_private_namespace<T: Send>(
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("mount".to_owned());
        let worker = builder.spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount_change(
                "/",
                // A copied mount still propagates to its peers, so without this the mounts made here would appear outside.
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            work()
        })?;
        worker
            .join()
            .unwrap_or_else(|_panic| Err(io::Error::other("the mount thread panicked")))
    })
}
