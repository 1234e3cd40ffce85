//! Tells of snapshots.
//!
//! Invariant: nothing is changed; the driver is asked only for the directories of a view.

use super::{
    CheckedView, Snapshot, SnapshotKind, SnapshotMount, SnapshotStore, SnapshotUsage, ViewRules,
    shown, synthesize,
};
use crate::settings::Durability;
use crate::{CancelToken, Error, LayerId, Result, UsageSource, UsageView};
use std::io;
use std::sync::Arc;

impl SnapshotStore<'_> {
    /// Tells how an active snapshot or a view is mounted.
    pub(super) fn plan_mounts(&self, key: &str) -> Result<Arc<[SnapshotMount]>> {
        let (snapshots, layers) = (&*self.snapshots, &self.open.store.layers);
        let snapshot = snapshots.get(key)?;
        if snapshot.kind == SnapshotKind::Committed {
            return Err(snapshot.wrong_kind("mount"));
        }
        let parent = snapshot
            .parent
            .as_deref()
            .map(|parent| snapshots.get(parent));
        let parent = parent.transpose()?;
        let plan = self.plan_view(&snapshot, parent.as_deref())?;
        let mounts = synthesize(snapshots, layers, &snapshot, &plan)?;
        let mounts: Arc<[SnapshotMount]> = Arc::from([mounts]);
        // It may have been removed, and another made under its key meanwhile.
        if let Some(entry) = snapshots.table().get(key)
            && Arc::ptr_eq(&entry.snapshot, &snapshot)
        {
            entry.remember(&mounts);
        }
        Ok(mounts)
    }

    /// Measures what a snapshot takes, if that is not known.
    pub(super) fn measured(&self, key: &str, cancel: &CancelToken) -> Result<SnapshotUsage> {
        let snapshot = self.snapshots.get(key)?;
        match (snapshot.kind, snapshot.usage) {
            (_, Some(usage)) => Ok(usage),
            (SnapshotKind::View, None) => Ok(SnapshotUsage::default()),
            (SnapshotKind::Active | SnapshotKind::Committed, None) => {
                let measured = self.measure(&snapshot, cancel)?;
                Ok(measured.into())
            }
        }
    }

    /// What the view of a snapshot with this parent consists of.
    pub(super) fn plan_view(
        &self,
        snapshot: &Snapshot,
        parent: Option<&Snapshot>,
    ) -> Result<CheckedView> {
        let rules = ViewRules::of(&self.snapshots, snapshot)?;
        let shown_layer = snapshot.layer.as_ref().or_else(|| parent?.layer.as_ref());
        let shown_layer = owned(snapshot, shown_layer)?;
        self.open.check_undamaged(shown_layer)?;
        self.open.plan(shown_layer, &rules)
    }

    /// Measures what is a snapshot's own.
    fn measure(&self, snapshot: &Snapshot, cancel: &CancelToken) -> Result<UsageView> {
        let layer = owned(snapshot, snapshot.layer.as_ref())?;
        self.open.measure_layer(layer, cancel)
    }

    /// Measures what is the own of a snapshot that changes no more; none if that cannot be known yet, for it is asked of
    /// the file system and no one waited for the device.
    pub(super) fn measure_for_good(
        &self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Option<SnapshotUsage>> {
        let measured = self.measure(snapshot, cancel)?;
        let is_known = match measured.source {
            UsageSource::Walk => true,
            UsageSource::Search | UsageSource::Quota => {
                self.open.engine.settings.durability == Durability::Commit
            }
        };
        Ok(is_known.then(|| measured.into()))
    }
}

/// The layer that a snapshot cannot be without.
pub(super) fn owned<'a>(snapshot: &Snapshot, layer: Option<&'a LayerId>) -> Result<&'a LayerId> {
    let lost = || Error::Io {
        doing: format!("look at snapshot `{}`", shown(&snapshot.key)),
        source: io::Error::other("it has no layer"),
    };
    layer.ok_or_else(lost)
}
