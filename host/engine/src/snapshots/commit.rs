//! Makes an active snapshot a committed one.
//!
//! Invariant: its files are on the device, and what it takes is measured, before the row says so; other keys are not
//! waited for.

use super::{
    Change, CommitRequest, Snapshot, SnapshotKind, SnapshotStore, check_key, check_labels, shown,
};
use crate::disk::rows::After;
use crate::settings::Durability;
use crate::{CancelToken, Error, Moment, Result};
use std::sync::Arc;

impl SnapshotStore<'_> {
    /// Makes an active snapshot a committed one.
    pub(super) fn commit_active(&self, request: CommitRequest, cancel: &CancelToken) -> Result<()> {
        let CommitRequest {
            key,
            name,
            parent,
            labels,
        } = request;
        check_key(&name)?;
        let labels = check_labels(&name, labels)?;
        self.open.check()?;
        let snapshots = &self.snapshots;
        let parent_key = parent.as_deref();
        let _held = self.lock([key.as_str(), name.as_str()], parent_key)?;
        snapshots.check_free(&name)?;
        let active = snapshots.get(&key)?;
        if active.kind != SnapshotKind::Active {
            return Err(active.wrong_kind("commit"));
        }
        let new_parent = new_parent(&active, parent_key)?;
        let place = match new_parent {
            Some(parent) => Some(self.rebase(&active, parent, cancel)?),
            None => active.place.clone(),
        };
        let now = Moment::now();
        let committed = Snapshot {
            key: name,
            kind: SnapshotKind::Committed,
            parent: new_parent.map_or_else(|| active.parent.clone(), |new| Some(new.to_owned())),
            place,
            labels,
            created: now,
            updated: now,
            mapping: None,
            late_parent: false,
            replaceable: false,
            ..Snapshot::clone(&active)
        };
        let done = self.write_commit(&active, committed, cancel);
        if let (Err(_), Some(_), Some(layer)) = (&done, new_parent, &active.layer) {
            self.open.store.layers.set_parent(layer, None);
        }
        done
    }

    /// Brings the files of an active snapshot to the device, measures them, and writes down that it is committed.
    fn write_commit(
        &self,
        active: &Snapshot,
        committed: Snapshot,
        cancel: &CancelToken,
    ) -> Result<()> {
        let store = &self.open.store;
        if let Some(place) = active.place.as_ref().filter(|_| active.replaceable) {
            let kept = store.layers.home().keep(place.number());
            kept.map_err(|error| Error::io(committing(active), error))?;
        }
        let is_synced = match &active.layer {
            Some(layer) => self.open.is_sealed_alone(layer)?,
            None => false,
        };
        if self.open.engine.settings.durability == Durability::Commit && !is_synced {
            let synced = store.layers.home().sync();
            synced.map_err(|error| Error::io(committing(active), error))?;
        }
        // Only now: a file system that is asked what changed tells of what is on the device.
        let usage = self.measure_for_good(active, cancel)?;
        let committed = Arc::new(Snapshot { usage, ..committed });
        let snapshots = &self.snapshots;
        // Only now: a record that is newer than its row counts if the row is lost.
        snapshots.write_record(&committed)?;
        let changes = [
            Change::Delete(active.key.clone(), None),
            Change::Put(committed),
        ];
        let changed = snapshots.change(&changes, After::Nothing);
        if changed.is_err()
            && let Err(error) = snapshots.write_record(active)
        {
            tracing::warn!(store = %store.name, %error, "the record of a snapshot says that it is committed");
        }
        if let (Ok(()), Some(layer)) = (&changed, &active.layer) {
            self.open
                .engine
                .scrubber
                .settled(store.name.as_str(), layer);
        }
        changed
    }
}

fn committing(active: &Snapshot) -> String {
    format!("commit snapshot `{}`", shown(&active.key))
}

/// The parent that a commit gives to a snapshot that has none.
///
/// # Errors
/// [`Error::Invalid`] for another one than the snapshot has.
fn new_parent<'a>(active: &Snapshot, asked: Option<&'a str>) -> Result<Option<&'a str>> {
    match (active.parent.as_deref(), asked) {
        (_, None) => Ok(None),
        (None, Some(asked)) => Ok(Some(asked)),
        (Some(has), Some(asked)) if has == asked => Ok(None),
        (Some(has), Some(asked)) => Err(Error::Invalid(format!(
            "cannot change the parent of snapshot `{}` to `{}`: it has `{}`",
            shown(&active.key),
            shown(asked),
            shown(has)
        ))),
    }
}
