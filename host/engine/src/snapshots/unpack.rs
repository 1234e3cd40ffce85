//! Unpacks an archive into an active snapshot.
//!
//! Invariant: the snapshot has all of the archive, on the device, or nothing of it; its files lie where they lay, so the
//! mounts that were told of it stay true.

use super::look::owned;
use super::store::Mounted;
use super::{SnapshotKind, SnapshotStore, shown};
use crate::disk::home::{BlobOrigin, LayerOrigin};
use crate::drivers::Question;
use crate::layers::Mode;
use crate::store::{Call, Intent, Scope, Verb};
use crate::{Error, Result};
use mica_runtime::{ApplyReport, ArchiveForm, CancelToken, Source};
use std::path::Path;

impl SnapshotStore<'_> {
    /// The active snapshot whose own files lie in this directory, and how it is mounted.
    pub(super) fn find_active(&self, directory: &Path) -> Result<Option<Mounted>> {
        let layers = &self.open.store.layers;
        let Some(number) = layers.number_of(directory) else {
            return Ok(None);
        };
        // A look at every row takes microseconds, unpacking that follows takes milliseconds at least.
        let all = self.list().into_iter();
        let mut active = all.filter(|snapshot| snapshot.kind == SnapshotKind::Active);
        let snapshot = active.find(|snapshot| {
            let layer = snapshot.layer.as_ref();
            layer.is_some_and(|layer| {
                let table = layers.table();
                let entry = table.get(layer.as_str());
                entry.is_some_and(|entry| entry.number == number)
            })
        });
        let Some(snapshot) = snapshot else {
            return Ok(None);
        };
        let mounts = match self.known_mounts(&snapshot.key)? {
            Some(mounts) => mounts,
            None => self.plan_mounts(&snapshot.key)?,
        };
        Ok(Some((snapshot, mounts)))
    }

    /// Reads an archive into an active snapshot, and writes down the blob that it is of.
    pub(super) fn unpack_archive(
        &self,
        key: &str,
        source: Source,
        blob: BlobOrigin,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        let store = &self.open.store;
        let _snapshot = self.lock([key], None)?;
        let snapshot = self.snapshots.get(key)?;
        if snapshot.kind != SnapshotKind::Active {
            return Err(snapshot.wrong_kind("unpack into"));
        }
        let id = owned(&snapshot, snapshot.layer.as_ref())?;
        let _layer = self.open.lock_layer(id, Mode::Exclusive)?;
        let facts = store.facts(id)?;
        let copy = store.layers.copy(id, facts.number)?;
        let scope = Scope::layer(&store.layers, id, Intent::Apply(copy));
        let parent = facts.record.parent.as_ref().map(|parent| parent.as_str());
        let form = match snapshot.late_parent {
            true => ArchiveForm::Rebase,
            false => ArchiveForm::Moby,
        };
        let call = Call::new(Verb::Apply, scope.clone())
            .with_cancel(cancel)
            .asking(Question::Made);
        let report = self.open.call_once(call, |generation, operation| {
            generation.apply_diff(operation, id.as_str(), parent, form, source)
        })?;
        let held = || Error::Sandbox(format!("unpack into `{}`: it is still in use", shown(key)));
        let copy = scope.into_copy().ok_or_else(held)?;
        let origin = LayerOrigin::new(blob, snapshot.late_parent);
        // Without it the layer cannot be repaired from the blob, and is as good as with it otherwise.
        if let Err(error) = store.layers.home().write_origin(facts.number, &origin) {
            tracing::warn!(store = %store.name, snapshot = shown(key), %error, "which blob it is of is not written down");
        }
        store.layers.exchange(copy, id, facts.number)?;
        tracing::info!(
            store = store.name.as_str(),
            snapshot = shown(key),
            entries = report.entries,
            bytes = report.size_bytes,
            "unpacked a layer"
        );
        self.open.tell_left_out(
            id,
            "the snapshot does not hold what the archive has",
            (report.xattrs_skipped, &report.first_left_out),
        );
        Ok(report)
    }
}
