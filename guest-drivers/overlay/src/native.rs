//! Diffs from the upper directory: what a layer itself has is what differs from its parent.
//!
//! Invariant: where the kernel does not keep the whole difference in the upper, or another layer than the parent is
//! compared with, two views are compared instead.

use crate::Overlay;
use crate::layers::{Parts, parts, upper};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use mica_sdk::diff::Comparison;
use mica_sdk::driver::apply_report;
use mica_sdk::host::directory::Directory;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::home;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::streams::{ChangeSink, Sink, Source};
use mica_sdk::walk::{Kept, Sides};
use mica_sdk::{DiffDriver, Doing as _, Result, apply};

/// Whether the upper is all that differs from `parent`.
fn is_native(id: &str, parent: Option<&str>) -> Result<bool> {
    let layer = home::inspect(id).doing(|| format!("look up layer `{id}`"))?;
    let native = matches!(
        filesystem::supports(Feature::OverlayNativeDiff),
        Ok(Support::Available)
    );
    Ok(native && layer.parent.as_deref() == parent)
}

fn compared(id: &str, parent: Option<&str>) -> Result<Comparison> {
    let parts = parts(id)?;
    if parent.is_some() && is_native(id, parent)? {
        return upper_against_below(id, parts);
    }
    compared_views(id, parts, parent)
}

/// moby's overlay2 does not look below an upper, not even to see what its whiteouts hide.
fn compared_as_moby(id: &str, parent: Option<&str>) -> Result<Comparison> {
    let parts = parts(id)?;
    if !is_native(id, parent)? {
        return compared_views(id, parts, parent);
    }
    let sides = Sides::Upper {
        opaque_xattr: mounts::opaque_xattr(),
    };
    Ok(Comparison {
        new: parts.upper,
        old: None,
        sides,
        mounts: Vec::new(),
    })
}

fn compared_views(id: &str, parts: Parts, parent: Option<&str>) -> Result<Comparison> {
    let mut mounts = Vec::new();
    let new = view(&parts, &mut mounts).doing(|| format!("view layer `{id}`"))?;
    let old = match parent {
        Some(parent) => {
            let parts = self::parts(parent)?;
            Some(view(&parts, &mut mounts).doing(|| format!("view layer `{parent}`"))?)
        }
        None => None,
    };
    Ok(Comparison {
        new,
        old,
        sides: Sides::Views(Kept::Unknown),
        mounts,
    })
}

fn upper_against_below(id: &str, parts: Parts) -> Result<Comparison> {
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
    Ok(Comparison {
        new: upper,
        old: Some(old),
        sides,
        mounts: vec![mount],
    })
}

fn view(parts: &Parts, mounts: &mut Vec<Mount>) -> Result<Directory, mica_sdk::Failure> {
    let mount = parts.mount(Access::ReadOnly, None)?;
    let root = mount.root()?;
    mounts.push(mount);
    Ok(root)
}

impl DiffDriver for Overlay {
    fn diff(id: &str, parent: Option<&str>, form: ArchiveForm, sink: &Sink) -> Result<DiffReport> {
        let compared = match form {
            ArchiveForm::Faithful => compared(id, parent)?,
            ArchiveForm::Moby | ArchiveForm::Rebase => compared_as_moby(id, parent)?,
        };
        compared.archive(form, sink)
    }

    fn changes(id: &str, parent: Option<&str>, sink: &ChangeSink) -> Result<()> {
        compared(id, parent)?.changes(sink)
    }

    fn apply_diff(
        id: &str,
        _parent: Option<&str>,
        form: ArchiveForm,
        source: &Source,
    ) -> Result<ApplyReport> {
        if form == ArchiveForm::Rebase {
            let report = apply::apply(apply::Upper::new(upper(id)?), form, source)?;
            return Ok(apply_report(report));
        }
        let parts = parts(id)?;
        let mount = parts
            .mount(Access::ReadWrite, None)
            .doing(|| format!("mount layer `{id}`"))?;
        let root = mount.root().doing(|| format!("open layer `{id}`"))?;
        let report = apply::apply(root, form, source)?;
        Ok(apply_report(report))
    }

    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64> {
        compared(id, parent)?.size()
    }
}
