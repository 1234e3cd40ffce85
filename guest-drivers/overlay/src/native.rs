//! Diffs from the upper directory: what a layer itself has is what differs from its parent.
//!
//! Invariant: where the kernel does not keep the whole difference in the upper, or another layer than the parent is
//! compared with, two views are compared instead.

use crate::Overlay;
use crate::layers::{Parts, parts};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{ApplyReport, DiffReport};
use mica_sdk::diff;
use mica_sdk::driver::{apply_report, diff_report};
use mica_sdk::host::directory::Directory;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::home;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::streams::{ChangeSink, Sink, Source};
use mica_sdk::walk::Sides;
use mica_sdk::{DiffDriver, Doing as _, Result, apply};

/// What is compared; the mounts live as long as the directories do.
struct Compared {
    new: Directory,
    old: Option<Directory>,
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
        sides: Sides::Views,
        _mounts: mounts,
    })
}

fn upper_against_below(id: &str, parts: Parts) -> Result<Compared> {
    let sides = Sides::Upper {
        opaque_xattr: mounts::opaque_xattr(),
    };
    let lowers: Vec<&Directory> = parts.lowers.iter().collect();
    let mount = match lowers.as_slice() {
        [only] => mounts::bind(only, Access::ReadOnly),
        all => mounts::overlay_view(all, None),
    };
    let doing = || format!("view what lies below layer `{id}`");
    let mount = mount.doing(doing)?;
    let old = mount.root().doing(doing)?;
    let Parts { upper, .. } = parts;
    Ok(Compared {
        new: upper,
        old: Some(old),
        sides,
        _mounts: vec![mount],
    })
}

fn view(parts: &Parts, mounts: &mut Vec<Mount>) -> Result<Directory, mica_sdk::Failure> {
    let mount = parts.mount(Access::ReadOnly, None)?;
    let root = mount.root()?;
    mounts.push(mount);
    Ok(root)
}

impl DiffDriver for Overlay {
    fn diff(id: &str, parent: Option<&str>, sink: &Sink) -> Result<DiffReport> {
        let Compared {
            new,
            old,
            sides,
            _mounts,
        } = compared(id, parent)?;
        let report = diff::write_archive(new, old, &sides, sink)?;
        Ok(diff_report(report))
    }

    fn changes(id: &str, parent: Option<&str>, sink: &ChangeSink) -> Result<()> {
        let Compared {
            new,
            old,
            sides,
            _mounts,
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
        } = compared(id, parent)?;
        diff::measure(new, old, &sides)
    }
}
