//! `mica:host/mounts`: detached file system views, or what they would consist of.
//!
//! Invariant: built from descriptors alone, and attached nowhere: that is the engine's.

use super::directory::{Directory, component};
use super::plan::{MountPlan, Outcome, Place, Position, broken};
use super::sharing::Sharing;
use super::{HostError, HostResult, State};
use crate::bindings::mica::host::mounts as wit;
use crate::{Access, Code, Failure, Right};
use mica_sys::mount::{self, DetachedMount, Overlay};
use mica_sys::{node, xattr};
use std::io;
use std::os::fd::BorrowedFd;
use wasmtime::component::Resource;

/// The kernel's own limit on lower directories.
const MAX_LOWERS: usize = 500;

/// A view that nobody else sees.
#[derive(Debug)]
pub struct Mount {
    view: View,
    access: Access,
    /// What of it belongs to something else too.
    sharing: Option<Sharing>,
}

#[derive(Debug)]
enum View {
    Detached(DetachedMount),
    Planned(MountPlan),
}

impl Mount {
    fn detached(detached: DetachedMount, access: Access) -> Self {
        Self {
            view: View::Detached(detached),
            access,
            sharing: None,
        }
    }

    fn planned(plan: MountPlan, access: Access) -> Self {
        Self {
            view: View::Planned(plan),
            access,
            sharing: None,
        }
    }

    fn sharing(self, sharing: Option<Sharing>) -> Self {
        Self { sharing, ..self }
    }

    /// The mount, in an operation that makes some.
    pub(crate) fn into_detached(self) -> Option<DetachedMount> {
        match self.view {
            View::Detached(detached) => Some(detached),
            View::Planned(_) => None,
        }
    }

    /// The description, in an operation that makes no mounts.
    pub(crate) fn into_plan(self) -> Option<MountPlan> {
        match self.view {
            View::Detached(_) => None,
            View::Planned(plan) => Some(plan),
        }
    }
}

/// An SELinux context is letters, digits and `_:.,-`: nothing that could end a mount option.
fn check_label(label: Option<&str>) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.,-".contains(&byte);
    match label {
        Some(text) if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) => {
            let shown = text.get(..64).unwrap_or(text).escape_default();
            Err(Failure::new(
                Code::Invalid,
                format!("mount label `{shown}` is no SELinux context"),
            ))
        }
        _ => Ok(()),
    }
}

fn check_lowers(count: usize, least: usize) -> Result<(), Failure> {
    if (least..=MAX_LOWERS).contains(&count) {
        return Ok(());
    }
    Err(Failure::new(
        Code::Invalid,
        format!("{count} lower directories; an overlay takes {least} to {MAX_LOWERS}"),
    ))
}

/// Refuses a label where no one asked for one: it would be a driver's text in what others mount.
fn check_unlabelled(label: Option<&str>) -> Result<(), HostError> {
    match label {
        Some(_) => Err(broken(
            "a view that others mount has a label only if one was asked for",
        )),
        None => Ok(()),
    }
}

impl State {
    fn directories(&self, handles: &[Resource<Directory>]) -> HostResult<Vec<Directory>> {
        handles
            .iter()
            .map(|handle| self.shown(handle).cloned())
            .collect()
    }

    /// A directory that a view may show: never a room, for whoever can write to a view of it could exchange the
    /// directories that others know by name.
    fn shown(&self, handle: &Resource<Directory>) -> HostResult<&Directory> {
        let directory = self.handles.get(handle)?;
        match (directory.position(), self.outcome) {
            // A plan has no place for a room, and breaking that rule ends the operation.
            (_, Outcome::Plan) | (Position::InRoom { .. } | Position::Elsewhere, _) => {
                Ok(directory)
            }
            (Position::Room { layer }, Outcome::Inside | Outcome::Mount) => {
                let layer = layer.escape_debug();
                let text = format!(
                    "the room of layer `{layer}` cannot be shown itself; make a view of a directory in it"
                );
                Err(Failure::new(Code::Invalid, text).into())
            }
        }
    }

    /// Remembers an upper; the same one again is refused, as two overlays on one upper corrupt it.
    fn claim_upper(&mut self, upper: &Directory) -> Result<(), Failure> {
        let found = node::stat_fd(upper.fd())
            .map_err(|error| Failure::from_io("stat the upper", &error))?;
        if self.uppers.insert((found.device, found.inode)) {
            return Ok(());
        }
        Err(Failure::new(
            Code::Busy,
            "the upper directory is mounted already by this operation",
        ))
    }
}

impl wit::Host for State {
    fn overlay(
        &mut self,
        lowers: Vec<Resource<Directory>>,
        upper: Resource<Directory>,
        work: Resource<Directory>,
        label: Option<String>,
    ) -> HostResult<Resource<Mount>> {
        self.ask()?;
        self.permit(Right::MountOverlay)?;
        check_label(label.as_deref())?;
        check_lowers(lowers.len(), 1)?;
        let lowers = self.directories(&lowers)?;
        let upper = self.shown(&upper)?.writable()?.clone();
        let work = self.shown(&work)?.writable()?.clone();
        // Two overlays on one upper are undefined behaviour of the kernel, and it only warns of some of them.
        self.claim_upper(&upper)?;
        if self.outcome == Outcome::Plan {
            check_unlabelled(label.as_deref())?;
            let plan = MountPlan::Overlay {
                lowers: Place::of_all(&lowers)?,
                upper_and_work: Some((Place::of(&upper)?, Place::of(&work)?)),
            };
            return self.handles.push(Mount::planned(plan, Access::ReadWrite));
        }
        let fds: Vec<BorrowedFd<'_>> = lowers.iter().map(Directory::fd).collect();
        let plan = Overlay {
            lowers: &fds,
            upper_and_work: Some((upper.fd(), work.fd())),
            label: label.as_deref(),
            read_only: false,
        };
        let detached =
            mount::overlay(&plan).map_err(|error| Failure::from_io("mount overlay", &error))?;
        // Writing through the view changes the upper, whose files may still be the parent layer's.
        let sharing = upper.what_is_shared().map(Sharing::through_overlay);
        let mount = Mount::detached(detached, Access::ReadWrite).sharing(sharing);
        self.handles.push(mount)
    }

    fn overlay_view(
        &mut self,
        lowers: Vec<Resource<Directory>>,
        label: Option<String>,
    ) -> HostResult<Resource<Mount>> {
        self.ask()?;
        self.permit(Right::MountOverlay)?;
        check_label(label.as_deref())?;
        check_lowers(lowers.len(), 2)?;
        let lowers = self.directories(&lowers)?;
        if self.outcome == Outcome::Plan {
            check_unlabelled(label.as_deref())?;
            let plan = MountPlan::Overlay {
                lowers: Place::of_all(&lowers)?,
                upper_and_work: None,
            };
            return self.handles.push(Mount::planned(plan, Access::ReadOnly));
        }
        let fds: Vec<BorrowedFd<'_>> = lowers.iter().map(Directory::fd).collect();
        let plan = Overlay {
            lowers: &fds,
            upper_and_work: None,
            label: label.as_deref(),
            read_only: true,
        };
        let detached = mount::overlay(&plan)
            .map_err(|error| Failure::from_io("mount overlay view", &error))?;
        self.handles
            .push(Mount::detached(detached, Access::ReadOnly))
    }

    fn bind(
        &mut self,
        directory: Resource<Directory>,
        access: Access,
    ) -> HostResult<Resource<Mount>> {
        self.enter()?;
        self.permit(Right::MountBind)?;
        let directory = self.shown(&directory)?.clone();
        let wanted = match access {
            Access::ReadOnly => mount::Access::ReadOnly,
            Access::ReadWrite => {
                directory.writable()?;
                mount::Access::ReadWrite
            }
        };
        if self.outcome == Outcome::Plan {
            let directory = Place::of(&directory)?;
            let plan = MountPlan::Bind { directory, access };
            return self.handles.push(Mount::planned(plan, access));
        }
        let detached = mount::bind(directory.fd(), wanted)
            .map_err(|error| Failure::from_io("bind the directory", &error))?;
        let sharing = directory.what_is_shared().cloned();
        let mount = Mount::detached(detached, access).sharing(sharing);
        self.handles.push(mount)
    }

    fn make_opaque(&mut self, directory: Resource<Directory>) -> HostResult<()> {
        let directory = self.at(&directory)?.writable()?;
        Ok(
            xattr::set_fd(directory.fd(), mount::opaque_xattr().as_bytes(), b"y")
                .map_err(|error| Failure::from_io("mark the directory opaque", &error))?,
        )
    }

    fn make_whiteout(&mut self, directory: Resource<Directory>, name: Vec<u8>) -> HostResult<()> {
        let directory = self.at(&directory)?.writable()?;
        let name = component(&name)?;
        let failed = |error: io::Error| {
            let doing = format!("make whiteout `{}`", name.as_bytes().escape_ascii());
            Failure::from_io(doing, &error)
        };
        let (fd, origin) = (directory.fd(), mount::origin_xattr().as_bytes());
        // Where no other layer has the directory, the whiteout would be listed as a name that cannot be looked up.
        if xattr::get_fd(fd, origin).map_err(failed)?.is_none() {
            xattr::set_fd(fd, origin, b"").map_err(failed)?;
        }
        Ok(node::create_whiteout(fd, &name).map_err(failed)?)
    }

    fn opaque_xattr(&mut self) -> wasmtime::Result<String> {
        Ok(mount::opaque_xattr().to_owned())
    }
}

impl wit::HostMount for State {
    fn root(&mut self, this: Resource<Mount>) -> HostResult<Resource<Directory>> {
        // What is handed out may have devices; what only this operation sees needs none, and its files are opened sooner.
        let is_inside = self.outcome == Outcome::Inside;
        let mount = self.at(&this)?;
        let View::Detached(detached) = &mount.view else {
            let text = "the view is planned and not made, so it has no top directory";
            return Err(Failure::new(Code::NotSupported, text).into());
        };
        let fd = detached
            .root()
            .map_err(|error| Failure::from_io("open the mount's top directory", &error))?;
        // A kernel that cannot do it has its files opened as in any other mount.
        let has_devices = !(is_inside && detached.forbid_devices().is_ok());
        let root = Directory::top(fd, mount.access, has_devices).sharing(mount.sharing.clone());
        self.handles.push(root)
    }

    fn drop(&mut self, this: Resource<Mount>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_smuggle_mount_options() {
        for good in ["system_u:object_r:container_file_t:s0:c1,c2", "a"] {
            assert!(check_label(Some(good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a\"b",
            "x,lowerdir=/etc",
            "a b",
            "a\nb",
            "a=b",
            "\u{e9}",
            &"x".repeat(300),
        ] {
            assert!(check_label(Some(bad)).is_err(), "{bad}");
        }
        assert!(check_label(None).is_ok());
    }
}
