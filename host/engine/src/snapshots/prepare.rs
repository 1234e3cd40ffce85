//! Makes active snapshots and views.
//!
//! Invariant: the parent can neither be removed nor changed from the check until the row is there.

use super::{
    Change, CheckedView, LayerPlace, Shape, Snapshot, SnapshotKind, SnapshotMount, SnapshotRequest,
    SnapshotStore, Snapshots, ViewRules, check_key, check_labels, shown, synthesize,
};
use crate::disk::home::Syncing;
use crate::disk::rows::After;
use crate::layers::{LayerSet, NewLayer};
use crate::{CancelToken, Error, LayerId, Moment, Result};
use mica_runtime::{Access, LayerKind};
use mica_sys::node;
use std::os::fd::AsFd;
use std::sync::Arc;

impl SnapshotStore<'_> {
    /// Makes a snapshot with its layer, and tells how it is mounted.
    pub(super) fn make(
        &self,
        request: SnapshotRequest,
        kind: SnapshotKind,
        cancel: &CancelToken,
    ) -> Result<Arc<[SnapshotMount]>> {
        check_key(&request.key)?;
        let labels = check_labels(&request.key, request.labels)?;
        self.open.check()?;
        let (store, snapshots) = (&self.open.store, &*self.snapshots);
        let parent_key = request.parent.as_deref();
        let _held = self.lock([request.key.as_str()], parent_key)?;
        // Runtimes ask with a new key for what they may have already: the parent is looked at first.
        let parent = parent_key.map(|parent| committed(snapshots, parent, &request.key));
        let parent = parent.transpose()?;
        snapshots.check_free(&request.key)?;
        if let Some(label) = &request.unless_held
            && let Some(held) = snapshots.table().held(request.parent.as_deref(), label)
        {
            return Err(Error::SnapshotExists {
                store: store.name.as_str().to_owned(),
                key: shown(&held.key),
            });
        }
        let late_parent = request.late_parent && parent.is_none() && kind == SnapshotKind::Active;
        if late_parent {
            self.check_rebases(&request.key, cancel)?;
        }
        let now = Moment::now();
        let snapshot = Snapshot {
            key: request.key,
            kind,
            parent: request.parent,
            layer: None,
            place: None,
            labels,
            created: now,
            updated: now,
            usage: None,
            mapping: request.mapping,
            late_parent,
            replaceable: request.replaceable && kind == SnapshotKind::Active,
        };
        let (layer, view) = self.layer_for(&snapshot, parent.as_deref(), cancel)?;
        let place = layer.as_ref().map(|layer| store.facts(layer));
        let place = place.transpose()?.as_ref().map(LayerPlace::of);
        let snapshot = Arc::new(Snapshot {
            layer: layer.clone(),
            place,
            ..snapshot
        });
        let made = self.enter_snapshot(&snapshot, parent.as_deref(), view);
        if let (Err(_), Some(layer)) = (&made, layer) {
            snapshots.give_up(layer);
        }
        made
    }

    /// Writes down a snapshot whose layer is there, and tells how it is mounted.
    fn enter_snapshot(
        &self,
        snapshot: &Arc<Snapshot>,
        parent: Option<&Snapshot>,
        view: Option<CheckedView>,
    ) -> Result<Arc<[SnapshotMount]>> {
        let (snapshots, layers) = (&*self.snapshots, &self.open.store.layers);
        let view = match view {
            Some(view) => view,
            None => self.plan_view(snapshot, parent)?,
        };
        give_to_mapped_root(layers, snapshot, &view)?;
        let mount = synthesize(snapshots, layers, snapshot, &view)?;
        let mounts: Arc<[SnapshotMount]> = Arc::from([mount]);
        let after = match snapshot.layer {
            Some(_) if snapshot.replaceable => After::Unwaited,
            Some(_) => After::Layers,
            None => After::Nothing,
        };
        snapshots.change(&[Change::Put(Arc::clone(snapshot))], after)?;
        if let Some(entry) = snapshots.table().get(&snapshot.key) {
            entry.remember(&mounts);
        }
        Ok(mounts)
    }

    /// The layer of a new snapshot and what its view consists of: none for a view of another one.
    fn layer_for(
        &self,
        snapshot: &Snapshot,
        parent: Option<&Snapshot>,
        cancel: &CancelToken,
    ) -> Result<(Option<LayerId>, Option<CheckedView>)> {
        if snapshot.kind == SnapshotKind::View && parent.is_some() {
            return Ok((None, None));
        }
        let id = Snapshots::new_layer_id()?;
        let (kind, access) = match snapshot.kind {
            SnapshotKind::View => (LayerKind::Content, Access::ReadOnly),
            SnapshotKind::Active | SnapshotKind::Committed => {
                (LayerKind::ReadWrite, Access::ReadWrite)
            }
        };
        let parent_key = parent.map(|parent| parent.key.as_str());
        let below = self.snapshots.layers_below(parent_key)?;
        let rules = ViewRules::new(Some(id.clone()), below, access);
        let purpose = self.snapshots.purpose(snapshot)?;
        let syncing = match snapshot.replaceable {
            true => Syncing::Unwaited,
            false => Syncing::Later,
        };
        let new = NewLayer::of_snapshot((kind, syncing), purpose, rules, cancel);
        let below = parent.and_then(|parent| parent.layer.as_ref());
        let (_, view) = self.open.create_layer(&id, below, new)?;
        Ok((Some(id), view))
    }
}

/// The top of an overlay has the owner that the upper directory has, and only lower directories are mapped: so the upper
/// directory of a new snapshot gets the owner that its root is to have.
fn give_to_mapped_root(layers: &LayerSet, snapshot: &Snapshot, view: &CheckedView) -> Result<()> {
    let (Some(mapping), Shape::Overlay { upper, .. }) = (&snapshot.mapping, view.shape()) else {
        return Ok(());
    };
    let (uid, gid) = mapping.root();
    let owned = node::set_owner_fd(upper.open(layers)?.as_fd(), uid, gid);
    let doing = || format!("give snapshot `{}` to its root user", shown(&snapshot.key));
    owned.map_err(|error| Error::io(doing(), error))
}

/// The parent of a snapshot.
pub(super) fn committed(snapshots: &Snapshots, parent: &str, key: &str) -> Result<Arc<Snapshot>> {
    let found = snapshots.get(parent)?;
    if found.kind == SnapshotKind::Committed {
        return Ok(found);
    }
    let (key, parent, kind) = (shown(key), shown(parent), found.kind.described());
    Err(Error::Invalid(format!(
        "parent `{parent}` of snapshot `{key}` is {kind}, not committed"
    )))
}
