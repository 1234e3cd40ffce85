//! Makes an active snapshot a committed one.
//!
//! Invariant: its files are on the device, and what it takes is measured, before the row says so; other keys are not
//! waited for.

use crate::engine::Engine;
use crate::layers::{Key, Mode};
use crate::rows::After;
use crate::settings::Durability;
use crate::snapshots::{Change, check_key, check_labels, shown};
use crate::store::Store;
use crate::{CancelToken, CommitRequest, Error, Moment, Result, Snapshot, SnapshotKind};
use std::sync::Arc;

impl Engine {
    /// Makes an active snapshot a committed one under another name. Its key is free afterwards.
    ///
    /// # Errors
    /// `snapshot-exists` for the name, `unknown-snapshot` for the key, `wrong-snapshot-kind` when it is not active,
    /// or gets a parent and was not prepared for one, [`Error::Invalid`] for another parent than it has or one that is not
    /// committed, `unknown-snapshot` for a parent that is not there. The snapshot is then as it was.
    pub fn commit_snapshot(
        &self,
        store: &str,
        request: CommitRequest,
        cancel: &CancelToken,
    ) -> Result<()> {
        let CommitRequest {
            key,
            name,
            parent,
            labels,
        } = request;
        check_key(&name)?;
        let labels = check_labels(&name, labels)?;
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let snapshots = store.snapshots()?;
        let mut wanted: Vec<_> = [&key, &name]
            .map(|key| (Key::Snapshot(key.as_str().into()), Mode::Exclusive))
            .to_vec();
        let parent_key = parent.as_deref();
        wanted.extend(parent_key.map(|parent| (Key::Snapshot(parent.into()), Mode::Shared)));
        let _held = store.lock(wanted)?;
        snapshots.check_free(&name)?;
        let active = snapshots.get(&key)?;
        if active.kind != SnapshotKind::Active {
            return Err(active.wrong_kind("commit"));
        }
        let new_parent = new_parent(&active, parent_key)?;
        let place = match new_parent {
            Some(parent) => Some(self.rebase(&store, &active, parent, cancel)?),
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
            ..Snapshot::clone(&active)
        };
        let done = self.write_commit(&store, &active, committed, cancel);
        if let (Err(_), Some(_), Some(layer)) = (&done, new_parent, &active.layer) {
            store.layers.set_parent(layer, None);
        }
        done
    }

    /// Brings the files of an active snapshot to the device, measures them, and writes down that it is committed.
    fn write_commit(
        &self,
        store: &Store,
        active: &Snapshot,
        committed: Snapshot,
        cancel: &CancelToken,
    ) -> Result<()> {
        if self.settings.durability == Durability::Commit {
            let doing = || format!("commit snapshot `{}`", shown(&active.key));
            let synced = store.layers.home().sync();
            synced.map_err(|error| Error::io(doing(), error))?;
        }
        // Only now: a file system that is asked what changed tells of what is on the device.
        let usage = self.measure_for_good(store, active, cancel)?;
        let committed = Arc::new(Snapshot { usage, ..committed });
        let snapshots = store.snapshots()?;
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
        changed
    }
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
