//! Unpacks an archive into an active snapshot.
//!
//! Invariant: the snapshot has all of the archive, on the device, or nothing of it; its files lie where they lay, so the
//! mounts that were told of it stay true.

use super::look::owned;
use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Key, Mode};
use crate::scope::{Intent, Scope};
use crate::snapshots::shown;
use crate::{Error, Result, Snapshot, SnapshotKind, SnapshotMount};
use mica_runtime::{ApplyReport, ArchiveForm, CancelToken, Source};
use std::path::Path;
use std::sync::Arc;

/// A snapshot, and how it is mounted.
type Told = (Arc<Snapshot>, Arc<[SnapshotMount]>);

impl Engine {
    /// The active snapshot whose own files lie in this directory, and how it is mounted; nothing if there is none.
    ///
    /// # Errors
    /// `unknown-store`, `no-snapshots`; those of [`Engine::snapshot_mounts`].
    pub fn snapshot_in(&self, store: &str, directory: &Path) -> Result<Option<Told>> {
        let snapshot = {
            let store = self.usable_store(store)?;
            let _life = store.enter()?;
            let Some(number) = store.layers.number_of(directory) else {
                return Ok(None);
            };
            // A look at every row takes microseconds, unpacking that follows takes milliseconds at least.
            let all = store.snapshots()?.table().all().into_iter();
            let mut active = all.filter(|snapshot| snapshot.kind == SnapshotKind::Active);
            active.find(|snapshot| {
                let layer = snapshot.layer.as_ref();
                layer.is_some_and(|layer| {
                    let table = store.layers.table();
                    let entry = table.get(layer.as_str());
                    entry.is_some_and(|entry| entry.number == number)
                })
            })
        };
        let Some(snapshot) = snapshot else {
            return Ok(None);
        };
        let mounts = match self.known_mounts(store, &snapshot.key)? {
            Some(mounts) => mounts,
            None => self.snapshot_mounts(store, &snapshot.key)?,
        };
        Ok(Some((snapshot, mounts)))
    }

    /// Reads an archive, which is not compressed, into an active snapshot, by the rules of moby's form. Of a snapshot that
    /// gets its parent only when it is committed, deletions are kept for that parent.
    ///
    /// # Errors
    /// `unknown-snapshot`, `wrong-snapshot-kind` when it is not active; `invalid-archive`, `no-space`, `cancelled`; what the
    /// driver answers. The snapshot is then as it was.
    pub fn unpack_snapshot(
        &self,
        store: &str,
        key: &str,
        source: Source,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let snapshots = store.snapshots()?;
        let _snapshot = store.lock(vec![(Key::Snapshot(key.into()), Mode::Exclusive)])?;
        let snapshot = snapshots.get(key)?;
        if snapshot.kind != SnapshotKind::Active {
            return Err(snapshot.wrong_kind("unpack into"));
        }
        let id = owned(&snapshot, snapshot.layer.as_ref())?;
        let _layer = store.lock(vec![(Key::Layer(id.clone()), Mode::Exclusive)])?;
        let facts = store.facts(id)?;
        let copy = store.layers.copy(id, facts.number)?;
        let scope = Scope::layer(&store.layers, id, Intent::Apply(copy));
        let parent = facts.record.parent.as_ref().map(|parent| parent.as_str());
        let form = match snapshot.late_parent {
            true => ArchiveForm::Rebase,
            false => ArchiveForm::Moby,
        };
        let call = Call::new("apply", scope.clone())
            .with_cancel(cancel)
            .streaming();
        let report = self.call(call, |generation, operation| {
            generation.apply_diff(operation, id.as_str(), parent, form, source)
        })?;
        let held = || Error::Sandbox(format!("unpack into `{}`: it is still in use", shown(key)));
        let copy = scope.into_copy().ok_or_else(held)?;
        store.layers.exchange(copy, id, facts.number)?;
        tracing::info!(
            store = store.name.as_str(),
            snapshot = shown(key),
            entries = report.entries,
            bytes = report.size_bytes,
            "unpacked a layer"
        );
        self.tell_left_out(
            (&store, id),
            "the snapshot does not hold what the archive has",
            (report.xattrs_skipped, &report.first_left_out),
        );
        Ok(report)
    }
}
