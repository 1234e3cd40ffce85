//! Makes an active snapshot a committed one.
//!
//! Invariant: its files are on the device, and what it takes is measured, before the row says so; other keys are not
//! waited for.

use crate::engine::Engine;
use crate::layers::{Key, Mode};
use crate::settings::Durability;
use crate::snapshots::{Change, check_key, check_labels, shown};
use crate::{CancelToken, CommitRequest, Error, Moment, Result, Snapshot, SnapshotKind};
use mica_sys::filesystem;
use std::sync::Arc;

impl Engine {
    /// Makes an active snapshot a committed one under another name. Its key is free afterwards.
    ///
    /// # Errors
    /// `snapshot-exists` for the name, `unknown-snapshot` for the key, `wrong-snapshot-kind` when it is not active,
    /// [`Error::Invalid`] for another parent than it has. The snapshot is then as it was.
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
        let wanted = [&key, &name].map(|key| (Key::Snapshot(key.as_str().into()), Mode::Exclusive));
        let _held = store.lock(wanted.to_vec())?;
        snapshots.check_free(&name)?;
        let active = snapshots.get(&key)?;
        if active.kind != SnapshotKind::Active {
            return Err(active.wrong_kind("commit"));
        }
        check_parent(&active, parent.as_deref())?;
        if self.settings.durability == Durability::Commit {
            let top = store.layers.home().layout().top();
            let doing = || format!("commit snapshot `{}`", shown(&key));
            filesystem::sync(top).map_err(|error| Error::io(doing(), error))?;
        }
        // Only now: a file system that counts for itself counts what is on the device.
        let usage = self.measure(&store, &active, cancel)?;
        let now = Moment::now();
        let committed = Snapshot {
            key: name,
            kind: SnapshotKind::Committed,
            labels,
            created: now,
            updated: now,
            usage: Some(usage),
            ..Snapshot::clone(&active)
        };
        snapshots.change(&[Change::Delete(key), Change::Put(Arc::new(committed))])
    }
}

/// A runtime that unpacks layers apart from their parents names the parent at the end. No driver can change what a
/// layer is built on, so only the parent that it has is accepted.
fn check_parent(active: &Snapshot, parent: Option<&str>) -> Result<()> {
    match parent {
        Some(parent) if active.parent.as_deref() != Some(parent) => {
            let (key, parent) = (shown(&active.key), shown(parent));
            let has = active.parent.as_deref().map_or_else(
                || "it has none".to_owned(),
                |has| format!("it has `{}`", shown(has)),
            );
            Err(Error::Invalid(format!(
                "cannot change the parent of snapshot `{key}` to `{parent}`: {has}"
            )))
        }
        _ => Ok(()),
    }
}
