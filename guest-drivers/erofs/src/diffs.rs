//! Diffs: of a sealed layer against its parent the archive itself, and the changes that its index tells.
//!
//! Invariant: any other layer, and any other parent, is compared as the driver `overlay` does it.

use crate::layers::{Parts, parts};
use crate::{Erofs, apply};
use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use mica_sdk::diff::Comparison;
use mica_sdk::host::directory::Directory;
use mica_sdk::host::filesystem::{self, Feature, Support};
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::streams::{ChangeSink, Sink, Source};
use mica_sdk::host::{home, images};
use mica_sdk::walk::{Kept, Sides};
use mica_sdk::{DiffDriver, Doing as _, Failure, Result};

/// Whether `parent` is what the layer was made on.
fn is_own(id: &str, parent: Option<&str>) -> Result<bool> {
    let layer = home::inspect(id).doing(|| format!("look up layer `{id}`"))?;
    Ok(layer.parent.as_deref() == parent)
}

/// Whether an upper holds all that was changed in it.
fn uppers_are_whole() -> bool {
    let found = filesystem::supports(Feature::OverlayNativeDiff);
    matches!(found, Ok(Support::Available))
}

fn upper_sides() -> Sides {
    Sides::Upper {
        opaque_xattr: mounts::opaque_xattr(),
    }
}

/// What of a layer is compared with what lies below it; `None` where two views are.
fn differing(parts: &mut Parts) -> Result<Option<Directory>, Failure> {
    if parts.is_unchanged()? {
        return Ok(parts.image.take());
    }
    Ok(match (&parts.image, uppers_are_whole()) {
        (None, true) => parts.upper.take(),
        _ => None,
    })
}

fn compared(id: &str, parent: Option<&str>) -> Result<Comparison> {
    let mut parts = parts(id)?;
    let looking = || format!("look at layer `{id}`");
    if parent.is_some()
        && is_own(id, parent)?
        && let Some(new) = differing(&mut parts).doing(looking)?
    {
        let doing = || format!("view what lies below layer `{id}`");
        let (mount, old) = view_of(&parts.below).doing(doing)?;
        return Ok(Comparison {
            new,
            old: Some(old),
            sides: upper_sides(),
            mounts: vec![mount],
        });
    }
    compared_views(id, parts, parent)
}

/// moby's overlay2 does not look below an upper, not even to see what its whiteouts hide.
fn compared_as_moby(id: &str, parent: Option<&str>) -> Result<Comparison> {
    let mut parts = parts(id)?;
    let looking = || format!("look at layer `{id}`");
    if is_own(id, parent)?
        && let Some(new) = differing(&mut parts).doing(looking)?
    {
        return Ok(Comparison {
            new,
            old: None,
            sides: upper_sides(),
            mounts: Vec::new(),
        });
    }
    compared_views(id, parts, parent)
}

fn compared_views(id: &str, parts: Parts, parent: Option<&str>) -> Result<Comparison> {
    let view = |parts: &Parts| {
        let mount = parts.mount(Access::ReadOnly, None)?;
        let root = mount.root()?;
        Ok::<_, Failure>((mount, root))
    };
    let (mount, new) = view(&parts).doing(|| format!("view layer `{id}`"))?;
    let mut mounts = vec![mount];
    let mut old = None;
    if let Some(parent) = parent {
        let below = self::parts(parent)?;
        let (mount, root) = view(&below).doing(|| format!("view layer `{parent}`"))?;
        mounts.push(mount);
        old = Some(root);
    }
    Ok(Comparison {
        new,
        old,
        sides: Sides::Views(Kept::Unknown),
        mounts,
    })
}

fn view_of(directories: &[Directory]) -> Result<(Mount, Directory), Failure> {
    let all: Vec<&Directory> = directories.iter().collect();
    let mount = match all.as_slice() {
        [only] => mounts::bind(only, Access::ReadOnly)?,
        all => mounts::overlay_view(all, None)?,
    };
    let root = mount.root()?;
    Ok((mount, root))
}

/// Sends the archive of a layer that is sealed and was changed no more, if it is asked for against the layer's own parent.
fn sent(id: &str, parent: Option<&str>, sink: &Sink) -> Result<Option<DiffReport>> {
    if !is_own(id, parent)? {
        return Ok(None);
    }
    let parts = parts(id)?;
    let looking = || format!("look at layer `{id}`");
    if parts.image.is_none() || !parts.is_unchanged().doing(looking)? {
        return Ok(None);
    }
    let (archive_bytes, entries) = apply::measure(&parts.room).doing(looking)?;
    images::send(&parts.room, sink).doing(|| format!("send the archive of layer `{id}`"))?;
    Ok(Some(DiffReport {
        entries,
        archive_bytes,
        left_out_count: 0,
        first_left_out: Vec::new(),
    }))
}

impl DiffDriver for Erofs {
    fn diff(id: &str, parent: Option<&str>, form: ArchiveForm, sink: &Sink) -> Result<DiffReport> {
        if let Some(report) = sent(id, parent, sink)? {
            return Ok(report);
        }
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
        apply::apply(id, form, source)
    }

    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64> {
        compared(id, parent)?.size()
    }
}
