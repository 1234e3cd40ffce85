//! Diffs for any driver: Docker's NaiveDiffDriver. It looks at two complete views and compares them.
//!
//! Invariant: asks the driver for views and for nothing else.

use mica_sdk::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport,
};
use mica_sdk::bindings::inner::mica::driver::proto_driver as driver;
use mica_sdk::diff::Comparison;
use mica_sdk::driver::apply_report;
use mica_sdk::host::directory::Directory;
use mica_sdk::host::log::{self, Level};
use mica_sdk::host::mounts::{Access, Mount};
use mica_sdk::host::streams::{ChangeSink, Sink, Source};
use mica_sdk::walk::{Kept, Sides};
use mica_sdk::{DiffDriver, Doing as _, Result, apply};

struct NaiveDiff;

/// A view of a layer; the driver is told when it is gone.
struct View {
    id: String,
    mount: Option<Mount>,
}

impl View {
    fn of(id: &str, access: Access) -> Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            mount: Some(driver::get(id, access, None)?),
        })
    }

    fn root(&self) -> Result<Directory> {
        let root = self.mount.as_ref().map(Mount::root);
        root.transpose()
            .doing(|| format!("open the view of layer `{}`", self.id))?
            .ok_or_else(|| {
                mica_sdk::Error::NotFound(format!("the view of layer `{}` is gone", self.id))
            })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.mount.take());
        if let Err(error) = driver::put(&self.id) {
            log::write(
                Level::Warn,
                &format!("give back the view of layer `{}`: {error:?}", self.id),
            );
        }
    }
}

/// The two sides of a comparison.
fn views(id: &str, parent: Option<&str>) -> Result<(View, Option<View>)> {
    let new = View::of(id, Access::ReadOnly)?;
    let old = parent
        .map(|parent| View::of(parent, Access::ReadOnly))
        .transpose()?;
    Ok((new, old))
}

/// Compares the views, which must stay as long as that takes.
fn compared(new: &View, old: Option<&View>) -> Result<Comparison> {
    Ok(Comparison {
        new: new.root()?,
        old: old.map(View::root).transpose()?,
        sides: Sides::Views(Kept::Unknown),
        mounts: Vec::new(),
    })
}

impl DiffDriver for NaiveDiff {
    fn diff(id: &str, parent: Option<&str>, form: ArchiveForm, sink: &Sink) -> Result<DiffReport> {
        let (new, old) = views(id, parent)?;
        compared(&new, old.as_ref())?.archive(form, sink)
    }

    fn changes(id: &str, parent: Option<&str>, sink: &ChangeSink) -> Result<()> {
        let (new, old) = views(id, parent)?;
        compared(&new, old.as_ref())?.changes(sink)
    }

    fn apply_diff(
        id: &str,
        _parent: Option<&str>,
        form: ArchiveForm,
        source: &Source,
    ) -> Result<ApplyReport> {
        let view = View::of(id, Access::ReadWrite)?;
        let report = apply::apply(view.root()?, form, source)?;
        Ok(apply_report(report))
    }

    fn diff_size(id: &str, parent: Option<&str>) -> Result<u64> {
        let (new, old) = views(id, parent)?;
        compared(&new, old.as_ref())?.size()
    }
}

mica_sdk::export_diff!(NaiveDiff);
