//! Diffs of a driver whose layers are complete trees: two views, compared.
//!
//! The host's naive-diff component does it for every driver, and has to read files to see that they are the same. A
//! driver that can tell so implements [`Compared`], and with it [`DiffDriver`].
//!
//! Invariant: what the driver cannot tell is read.

use crate::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use crate::diff::Comparison;
use crate::driver::{DiffDriver, Driver, apply_report};
use crate::host::directory::Directory;
use crate::host::mounts::Access;
use crate::host::streams::{ChangeSink, Sink, Source};
use crate::walk::{Kept, Sides};
use crate::{Doing as _, Result, apply};

/// A driver whose views are compared.
pub trait Compared: Driver {
    /// What shows that files of a layer have the content that they have in the layer `old_id`. `new` and `old` are the
    /// tops of the two views.
    ///
    /// # Errors
    /// Whatever goes wrong; so for all functions.
    fn kept(id: &str, old_id: &str, new: &Directory, old: &Directory) -> Result<Kept>;

    /// Told before an archive is applied to the private copy of a layer.
    ///
    /// # Errors
    /// See [`Compared::kept`].
    fn before_apply(id: &str) -> Result<()>;
}

fn compared<T: Compared>(id: &str, parent: Option<&str>) -> Result<Comparison> {
    let mut mounts = Vec::new();
    let mut view = |id: &str| {
        let mount = T::get(id, Access::ReadOnly, None)?;
        let root = mount.root().doing(|| format!("open layer `{id}`"))?;
        mounts.push(mount);
        Ok(root)
    };
    let new = view(id)?;
    let old = parent.map(view).transpose()?;
    let kept = match (parent, &old) {
        (Some(parent), Some(old)) => T::kept(id, parent, &new, old)?,
        _ => Kept::Unknown,
    };
    Ok(Comparison {
        new,
        old,
        sides: Sides::Views(kept),
        mounts,
    })
}

impl<T: Compared> DiffDriver for T {
    fn diff(id: &str, parent: Option<&str>, form: ArchiveForm, sink: &Sink) -> Result<DiffReport> {
        compared::<T>(id, parent)?.archive(form, sink)
    }

    fn changes(id: &str, parent: Option<&str>, sink: &ChangeSink) -> Result<()> {
        compared::<T>(id, parent)?.changes(sink)
    }

    fn apply_diff(
        id: &str,
        _parent: Option<&str>,
        form: ArchiveForm,
        source: &Source,
    ) -> Result<ApplyReport> {
        T::before_apply(id)?;
        let mount = T::get(id, Access::ReadWrite, None)?;
        let root = mount.root().doing(|| format!("open layer `{id}`"))?;
        Ok(apply_report(apply::apply(root, form, source)?))
    }

    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64> {
        compared::<T>(id, parent)?.size()
    }
}
