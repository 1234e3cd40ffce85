//! Tells of snapshots.
//!
//! Invariant: nothing is changed; the driver is asked only for the directories of a view.

use crate::call::Call;
use crate::engine::Engine;
use crate::scope::{Intent, Scope};
use crate::settings::Durability;
use crate::snapshots::{CheckedView, Entry, ViewRules, shown, synthesize};
use crate::store::Store;
use crate::{
    CancelToken, Error, LayerId, Result, Snapshot, SnapshotKind, SnapshotMount, SnapshotUsage,
    UsageSource, UsageView,
};
use std::io;
use std::sync::Arc;

impl Engine {
    /// Describes a snapshot.
    ///
    /// # Errors
    /// `unknown-store`, `no-snapshots`, `unknown-snapshot`.
    pub fn snapshot(&self, store: &str, key: &str) -> Result<Arc<Snapshot>> {
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        store.snapshots()?.get(key)
    }

    /// Describes all snapshots of one moment, in byte order of their keys.
    ///
    /// # Errors
    /// `unknown-store`, `no-snapshots`.
    pub fn snapshots(&self, store: &str) -> Result<Vec<Arc<Snapshot>>> {
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        Ok(store.snapshots()?.table().all())
    }

    /// Tells how an active snapshot or a view is mounted. Nothing is mounted.
    ///
    /// # Errors
    /// `unknown-snapshot`, `wrong-snapshot-kind` when it is committed; what the driver answers.
    pub fn snapshot_mounts(&self, store: &str, key: &str) -> Result<Arc<[SnapshotMount]>> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let snapshots = store.snapshots()?;
        let snapshot = snapshots.get(key)?;
        if snapshot.kind == SnapshotKind::Committed {
            return Err(snapshot.wrong_kind("mount"));
        }
        let parent = snapshot
            .parent
            .as_deref()
            .map(|parent| snapshots.get(parent));
        let parent = parent.transpose()?;
        let plan = self.plan_view(&store, &snapshot, parent.as_deref())?;
        let mounts = synthesize(snapshots, &store.layers, &snapshot, &plan)?;
        let mounts: Arc<[SnapshotMount]> = Arc::from([mounts]);
        // It may have been removed, and another made under its key meanwhile.
        if let Some(entry) = snapshots.table().get(key)
            && Arc::ptr_eq(&entry.snapshot, &snapshot)
        {
            entry.remember(&mounts);
        }
        Ok(mounts)
    }

    /// Tells how a snapshot is mounted if that is known. Never waits for a disk or a driver, so that it may be called on
    /// any thread; so may [`Engine::snapshot`].
    ///
    /// # Errors
    /// As [`Engine::snapshot_mounts`].
    pub fn known_mounts(&self, store: &str, key: &str) -> Result<Option<Arc<[SnapshotMount]>>> {
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        let snapshots = store.snapshots()?;
        let snapshot = snapshots.get(key)?;
        if snapshot.kind == SnapshotKind::Committed {
            return Err(snapshot.wrong_kind("mount"));
        }
        Ok(snapshots.table().get(key).and_then(Entry::mounts))
    }

    /// Measures what a snapshot takes without what lies below it: of a committed one as it was at the commit. A view
    /// takes nothing.
    ///
    /// # Errors
    /// `unknown-snapshot`, `cancelled`; what the driver answers.
    pub fn snapshot_usage(
        &self,
        store: &str,
        key: &str,
        cancel: &CancelToken,
    ) -> Result<SnapshotUsage> {
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let snapshot = store.snapshots()?.get(key)?;
        match (snapshot.kind, snapshot.usage) {
            (_, Some(usage)) => Ok(usage),
            (SnapshotKind::View, None) => Ok(SnapshotUsage::default()),
            (SnapshotKind::Active | SnapshotKind::Committed, None) => {
                let measured = self.measure(&store, &snapshot, cancel)?;
                Ok(measured.into())
            }
        }
    }

    /// What the view of a snapshot with this parent consists of.
    pub(crate) fn plan_view(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        parent: Option<&Snapshot>,
    ) -> Result<CheckedView> {
        let rules = ViewRules::of(store.snapshots()?, snapshot)?;
        let shown_layer = snapshot.layer.as_ref().or_else(|| parent?.layer.as_ref());
        self.plan(store, owned(snapshot, shown_layer)?, &rules)
    }

    /// What a view of a layer consists of. An answer that breaks the rules counts as the driver's fault.
    pub(crate) fn plan(
        &self,
        store: &Store,
        layer: &LayerId,
        rules: &ViewRules,
    ) -> Result<CheckedView> {
        let access = rules.access();
        let scope = Scope::layer(&store.layers, layer, Intent::View(access));
        let call = Call::new("mount", Arc::clone(&scope));
        self.call(call, |generation, operation| {
            let plan = generation.plan(operation, layer.as_str(), access)?;
            rules.check(&plan, &*scope)
        })
    }

    /// Measures what is a snapshot's own.
    fn measure(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<UsageView> {
        let layer = owned(snapshot, snapshot.layer.as_ref())?;
        self.usage_in(store, layer, cancel)
    }

    /// Measures what is the own of a snapshot that changes no more; none if that cannot be known yet, for it is asked of
    /// the file system and no one waited for the device.
    pub(crate) fn measure_for_good(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Option<SnapshotUsage>> {
        let measured = self.measure(store, snapshot, cancel)?;
        let is_known = match measured.source {
            UsageSource::Walk => true,
            UsageSource::Search | UsageSource::Quota => {
                self.settings.durability == Durability::Commit
            }
        };
        Ok(is_known.then(|| measured.into()))
    }
}

/// The layer that a snapshot cannot be without.
pub(crate) fn owned<'a>(snapshot: &Snapshot, layer: Option<&'a LayerId>) -> Result<&'a LayerId> {
    let lost = || Error::Io {
        doing: format!("look at snapshot `{}`", shown(&snapshot.key)),
        source: io::Error::other("it has no layer"),
    };
    layer.ok_or_else(lost)
}
