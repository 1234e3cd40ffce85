//! What the daemon tells of its machine and of itself.
//!
//! Invariant: looks only.

use crate::api::types::{KernelView, MemoryView};

/// What the kernel can do.
pub(crate) fn kernel() -> KernelView {
    let facts = mica_sys::kernel_facts();
    KernelView {
        release: facts.release.clone(),
        openat2: facts.openat2,
        mount_api: facts.mount_api,
        overlay_fds: facts.overlay_fds,
        statmount: facts.statmount,
        xattrat: facts.xattrat,
        filesystems: facts.filesystems.clone(),
    }
}

/// The daemon's memory, where the kernel tells.
pub(super) fn memory() -> Option<MemoryView> {
    let (peak_bytes, resident_bytes) = mica_sys::peak_and_current_rss().ok()?;
    Some(MemoryView {
        resident_bytes,
        peak_bytes,
    })
}
