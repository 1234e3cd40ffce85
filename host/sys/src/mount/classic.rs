//! Overlays by `mount(2)`, for kernels before 6.7: all options in one string.
//!
//! Invariant: the string is shorter than the page that the kernel reads. It would cut a longer one
//! without a word, which can mean a mount without its upper.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::{SysconfVar, sysconf};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2, readlink};
use rustix::mount::{MountFlags, OpenTreeFlags, mount, open_tree};

use super::DetachedMount;
use super::error::explained;
use super::namespace::{in_private_namespace, in_user_namespace};
use super::overlay::{OPTIONS, Overlay};
use crate::node::stat_fd;
use crate::raw::descriptor_path;

/// Mounts where no one else sees it and takes a detached clone from there. `/proc` serves as the
/// place: it is always there, so nothing is left behind in any file system.
pub(super) fn overlay(plan: &Overlay<'_>) -> io::Result<DetachedMount> {
    // Before anything is opened, so that what cannot be passed on is refused with the plan's numbers.
    options(plan, page_bytes())?;
    let lowers = plan.lowers.iter().map(|lower| Layer::find(*lower));
    let lowers = lowers.collect::<io::Result<Vec<_>>>()?;
    let changes = plan.upper_and_work.map(|(upper, work)| [upper, work]);
    let changes = changes.iter().flatten().map(|layer| Layer::find(*layer));
    let changes = changes.collect::<io::Result<Vec<_>>>()?;
    let flags = if plan.read_only {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    };
    in_private_namespace(|| {
        let (lowers, changes) = (open_all(&lowers)?, open_all(&changes)?);
        let opened = Overlay {
            lowers: &lowers.iter().map(AsFd::as_fd).collect::<Vec<_>>(),
            upper_and_work: match changes.as_slice() {
                [upper, work] => Some((upper.as_fd(), work.as_fd())),
                _ => None,
            },
            ..*plan
        };
        let data = CString::new(options(&opened, page_bytes())?)?;
        let data = Some(data.as_c_str());
        mount(c"overlay", c"/proc", c"overlay", flags, data)?;
        let clone_flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(DetachedMount::new(open_tree(CWD, c"/proc", clone_flags)?))
    })
}

/// Where a directory is and which one. The kernel takes only layers of the name space that it mounts
/// in, and a descriptor from before lies in another one; so the directory is opened there once more.
struct Layer {
    path: CString,
    identity: (u64, u64),
}

impl Layer {
    fn find(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let found = stat_fd(dir)?;
        Ok(Self {
            path: readlink(descriptor_path(dir), Vec::new())?,
            identity: (found.device, found.inode),
        })
    }

    /// Opens the directory by the path that the kernel told, and makes sure that it is the same one.
    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The path was told by the kernel without links; one that is there now was put there by someone.
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(CWD, &self.path, flags, Mode::empty(), resolve)?;
        let found = stat_fd(opened.as_fd())?;
        if (found.device, found.inode) == self.identity {
            return Ok(opened);
        }
        let path = self.path.as_bytes().escape_ascii();
        let message = format!("another directory is at `{path}` by now; do not move layers in use");
        Err(explained(libc::ESTALE, message))
    }
}

fn open_all(layers: &[Layer]) -> io::Result<Vec<OwnedFd>> {
    layers.iter().map(Layer::open).collect()
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
    // With the NUL at its end.
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
