//! Diffs from the upper directory: what a layer itself has is what differs from its parent.
//!
//! Invariant: where the kernel does not keep the whole difference in the upper, or another layer than the parent is
//! compared with, two views are compared instead.

use crate::Overlay;
use crate::layers::{Parts, parts};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{ApplyReport, DiffReport};
use mica_sdk::diff::{self, Archiver};
use mica_sdk::driver::{apply_report, diff_report};
use mica_sdk::host::directory::Directory;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::home;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::streams::{ChangeSink, Sink, Source};
use mica_sdk::tree::wanted;
use mica_sdk::walk::{Sides, walk};
use mica_sdk::{Code, DiffDriver, Doing as _, Result, apply};

/// What is compared; the mounts live as long as the directories do.
struct Compared {
    new: Directory,
    old: Option<Directory>,
    below: Option<Directory>,
    sides: Sides,
    _mounts: Vec<Mount>,
}

fn compared(id: &str, parent: Option<&str>) -> Result<Compared> {
    let parts = parts(id)?;
    let own = home::inspect(id)
        .doing(|| format!("look up layer `{id}`"))?
        .parent;
    let native = matches!(
        filesystem::supports(Feature::OverlayNativeDiff),
        Ok(Support::Available)
    );
    if parent.is_some() && own.as_deref() == parent && native {
        return upper_against_below(id, parts);
    }
    let mut mounts = Vec::new();
    let new = view(&parts, &mut mounts).doing(|| format!("view layer `{id}`"))?;
    let old = match parent {
        Some(parent) => {
            let parts = self::parts(parent)?;
            Some(view(&parts, &mut mounts).doing(|| format!("view layer `{parent}`"))?)
        }
        None => None,
    };
    Ok(Compared {
        new,
        old,
        below: None,
        sides: Sides::Views,
        _mounts: mounts,
    })
}

fn upper_against_below(id: &str, parts: Parts) -> Result<Compared> {
    let sides = Sides::Upper {
        opaque_xattr: mounts::opaque_xattr(),
    };
    let mut held = Vec::new();
    let open = |held: &mut Vec<Mount>| -> Result<Directory, mica_sdk::Failure> {
        let lowers: Vec<&Directory> = parts.lowers.iter().collect();
        let mount = match lowers.as_slice() {
            [only] => mounts::bind(only, Access::ReadOnly)?,
            all => mounts::overlay_view(all, None)?,
        };
        let root = mount.root()?;
        held.push(mount);
        Ok(root)
    };
    let old = open(&mut held).doing(|| format!("view what lies below layer `{id}`"))?;
    let below = open(&mut held).doing(|| format!("view what lies below layer `{id}`"))?;
    let Parts { upper, .. } = parts;
    Ok(Compared {
        new: upper,
        old: Some(old),
        below: Some(below),
        sides,
        _mounts: held,
    })
}

fn view(parts: &Parts, mounts: &mut Vec<Mount>) -> Result<Directory, mica_sdk::Failure> {
    let mount = parts.mount(Access::ReadOnly, None)?;
    let root = mount.root()?;
    mounts.push(mount);
    Ok(root)
}

/// Whether a path is a directory below.
fn is_directory(root: &Directory, path: &[u8]) -> Result<bool> {
    let mut way: Vec<Directory> = Vec::new();
    for part in path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        match way.last().unwrap_or(root).open_directory(part) {
            Ok(directory) => way.push(directory),
            Err(failure)
                if matches!(
                    failure.code,
                    Code::NotFound | Code::NotADirectory | Code::Symlink | Code::Invalid
                ) =>
            {
                return Ok(false);
            }
            Err(failure) => {
                return Err(mica_sdk::error::host(
                    "look below an opaque directory",
                    failure,
                ));
            }
        }
    }
    Ok(true)
}

impl DiffDriver for Overlay {
    fn diff(id: &str, parent: Option<&str>, sink: &Sink) -> Result<DiffReport> {
        let Compared {
            new,
            old,
            below,
            sides,
            _mounts,
        } = compared(id, parent)?;
        let report = {
            let lower_has = |path: &[u8]| {
                below
                    .as_ref()
                    .map_or(Ok(false), |below| is_directory(below, path))
            };
            let mut archiver = Archiver::new(sink, lower_has);
            walk(new, old, &sides, &wanted::of_layers(), &mut archiver)?;
            archiver.finish()?
        };
        Ok(diff_report(report))
    }

    fn changes(id: &str, parent: Option<&str>, sink: &ChangeSink) -> Result<()> {
        let Compared {
            new,
            old,
            sides,
            _mounts,
            ..
        } = compared(id, parent)?;
        diff::list_changes(new, old, &sides, sink)
    }

    fn apply_diff(id: &str, _parent: Option<&str>, source: &Source) -> Result<ApplyReport> {
        let parts = parts(id)?;
        let mount = parts
            .mount(Access::ReadWrite, None)
            .doing(|| format!("mount layer `{id}`"))?;
        let root = mount.root().doing(|| format!("open layer `{id}`"))?;
        let report = apply::apply(root, source)?;
        Ok(apply_report(&report))
    }

    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64> {
        let Compared {
            new,
            old,
            sides,
            _mounts,
            ..
        } = compared(id, parent)?;
        diff::measure(new, old, &sides)
    }
}
