//! `mica:host/mounts`: views as what the driver asked for.
//!
//! Invariant: nothing is mounted, so a test needs no right; what the host refuses is refused here too.

use super::directory::Directory;
use super::{failed, no_glue, refused};
pub use crate::generated::host_functions::mica::host::mounts::Access;
use crate::mica::host::types::{Code, Failure};
use rustix::fs::{FileType, Mode, XattrFlags, fsetxattr, makedev, mknodat};
use std::path::PathBuf;

/// Directories that an overlay takes.
const MAX_LOWERS: usize = 500;
/// The mark that a test without root may set, which is the one of user namespaces.
const OPAQUE: &str = "user.overlay.opaque";

/// What a driver asked to be mounted, with where its directories lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// One directory.
    Bind {
        /// The directory.
        directory: PathBuf,
        /// What may be done in it.
        access: Access,
    },
    /// Directories over each other.
    Overlay {
        /// Those that are only read, nearest first.
        lowers: Vec<PathBuf>,
        /// The one that takes changes, and overlayfs' own beside it; without it the view is read-only.
        upper_and_work: Option<(PathBuf, PathBuf)>,
        /// The SELinux context of all files.
        label: Option<String>,
    },
}

/// A view that is not attached anywhere.
#[derive(Debug)]
pub struct Mount {
    view: View,
    shown: Option<Directory>,
}

no_glue!(Mount);

impl Mount {
    /// What the driver asked for.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Opens the top directory of the view: of one directory only, because an overlay is not mounted here.
    pub fn root(&self) -> Result<Directory, Failure> {
        match (&self.shown, &self.view) {
            (Some(directory), View::Bind { access, .. }) => Ok(directory.with(*access)),
            _ => {
                let text = "a native test mounts no overlay: `mica driver test` does";
                Err(refused(Code::NotSupported, text))
            }
        }
    }
}

fn path_of(directory: &Directory) -> Result<PathBuf, Failure> {
    if directory.is_room() {
        let text = "a room cannot be shown itself; make a view of a directory in it";
        return Err(refused(Code::Invalid, text));
    }
    Ok(directory.path())
}

fn stacked(
    lowers: &[&Directory],
    least: usize,
    upper_and_work: Option<(&Directory, &Directory)>,
    label: Option<&str>,
) -> Result<Mount, Failure> {
    let count = lowers.len();
    if !(least..=MAX_LOWERS).contains(&count) {
        let text = format!("{count} lower directories; an overlay takes {least} to {MAX_LOWERS}");
        return Err(refused(Code::Invalid, text));
    }
    let lowers = lowers.iter().map(|lower| path_of(lower));
    let lowers = lowers.collect::<Result<_, _>>()?;
    let upper_and_work = match upper_and_work {
        Some((upper, work)) => Some((path_of(upper.writable()?)?, path_of(work.writable()?)?)),
        None => None,
    };
    let view = View::Overlay {
        lowers,
        upper_and_work,
        label: label.map(str::to_owned),
    };
    Ok(Mount { view, shown: None })
}

/// An overlay that can be changed.
pub fn overlay(
    lowers: &[&Directory],
    upper: &Directory,
    work: &Directory,
    label: Option<&str>,
) -> Result<Mount, Failure> {
    stacked(lowers, 1, Some((upper, work)), label)
}

/// An overlay that is only read.
pub fn overlay_view(lowers: &[&Directory], label: Option<&str>) -> Result<Mount, Failure> {
    stacked(lowers, 2, None, label)
}

/// One directory as a mount of its own.
pub fn bind(directory: &Directory, access: Access) -> Result<Mount, Failure> {
    let path = path_of(directory)?;
    if access == Access::ReadWrite {
        directory.writable()?;
    }
    let view = View::Bind {
        directory: path,
        access,
    };
    let shown = Some(directory.with(access));
    Ok(Mount { view, shown })
}

/// Marks a directory of an upper opaque.
pub fn make_opaque(directory: &Directory) -> Result<(), Failure> {
    let fd = directory.writable()?.fd();
    fsetxattr(fd, OPAQUE, b"y", XattrFlags::empty()).map_err(failed("mark the directory opaque"))
}

/// Makes a character device 0:0, which only root may.
pub fn make_whiteout(directory: &Directory, name: &[u8]) -> Result<(), Failure> {
    let (fd, name) = (
        directory.writable()?.fd(),
        super::directory::component(name)?,
    );
    let shown = name.escape_ascii();
    let device = makedev(0, 0);
    mknodat(fd, name, FileType::CharacterDevice, Mode::empty(), device)
        .map_err(failed(format!("make whiteout `{shown}`")))
}

/// The extended attribute that marks opaque directories.
pub fn opaque_xattr() -> String {
    OPAQUE.to_owned()
}
