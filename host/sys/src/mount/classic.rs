//! Overlays by `mount(2)`, for kernels before 6.7: all options in one string.
//!
//! Invariant: the string is shorter than the page that the kernel reads. It would cut a longer one
//! without a word, which can mean a mount without its upper.

use std::ffi::CString;
use std::io;

use nix::unistd::{SysconfVar, sysconf};
use rustix::fs::CWD;
use rustix::mount::{MountFlags, OpenTreeFlags, mount, open_tree};

use super::DetachedMount;
use super::error::explained;
use super::namespace::{in_private_namespace, in_user_namespace};
use super::overlay::{OPTIONS, Overlay};
use crate::raw::descriptor_path;

/// Mounts where no one else sees it and takes a detached clone from there. `/proc` serves as the
/// place: it is always there, so nothing is left behind in any file system.
pub(super) fn overlay(plan: &Overlay<'_>) -> io::Result<DetachedMount> {
    let data = CString::new(options(plan, page_bytes())?)?;
    let flags = if plan.read_only {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    };
    in_private_namespace(|| {
        mount(
            c"overlay",
            c"/proc",
            c"overlay",
            flags,
            Some(data.as_c_str()),
        )?;
        let clone_flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(DetachedMount::new(open_tree(CWD, c"/proc", clone_flags)?))
    })
}

/// The options in one string. The paths of descriptors hold neither commas nor colons, so nothing
/// needs to be escaped.
pub(super) fn options(plan: &Overlay<'_>, page_bytes: usize) -> io::Result<String> {
    let lowers: Vec<String> = plan
        .lowers
        .iter()
        .map(|lower| descriptor_path(*lower))
        .collect();
    let mut parts = vec![format!("lowerdir={}", lowers.join(":"))];
    if let Some((upper, work)) = plan.upper_and_work {
        parts.push(format!("upperdir={}", descriptor_path(upper)));
        parts.push(format!("workdir={}", descriptor_path(work)));
    }
    parts.extend(OPTIONS.iter().map(|(key, value)| format!("{key}={value}")));
    if in_user_namespace() {
        parts.push("userxattr".to_owned());
    }
    if let Some(label) = plan.label {
        parts.push(format!("context=\"{label}\""));
    }
    let text = parts.join(",");
    if text.len() + 1 >= page_bytes {
        let message = format!(
            "the mount options for {} lower directories take {} bytes, this kernel reads {}; Linux 6.7 or later takes {}",
            plan.lowers.len(),
            text.len(),
            page_bytes - 1,
            super::MAX_LOWERS,
        );
        return Err(explained(libc::E2BIG, message));
    }
    Ok(text)
}

/// The size of a page of memory, which is what the kernel reads of an option string.
fn page_bytes() -> usize {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    // The smallest page of any machine that Linux runs on.
    page.and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(4096)
}
