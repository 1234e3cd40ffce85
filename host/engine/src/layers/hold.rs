//! What keeps layers, and the removal of those that nothing keeps.
//!
//! Mica is not the owner of the layers of a store that dockerd or containerd has: they count references that are not known here, so
//! such a layer is always kept.
//!
//! Invariant: a layer is removed only if nothing keeps it at the moment of its removal, and only as the layer that was looked at.

use super::{Entry, Facts};
use crate::disk::home::Syncing;
use crate::store::OpenStore;
use crate::view::{
    CollectReport, CollectRequest, CollectedLayer, HoldKind, HoldView, HoldsRequest, KeptLayer,
    LayerHolds, LayerProblem, LayerView,
};
use crate::{Error, LayerId, Moment, Result, SnapshotKind};
use mica_runtime::CancelToken;
use mica_text::with_causes;
use std::collections::{HashMap, HashSet};

/// What is known of who keeps the layers of a store, at one moment.
struct Keepers {
    /// Whom the store is for.
    owner: Option<String>,
    snapshots: HashMap<LayerId, Vec<HoldView>>,
    /// Layers that nothing keeps, each before the one that it is built on.
    free: Vec<Facts>,
}

impl OpenStore<'_> {
    /// What keeps each layer of a page.
    pub(super) fn layer_holds(
        &self,
        request: &HoldsRequest,
        cancel: &CancelToken,
    ) -> Result<Vec<LayerHolds>> {
        let HoldsRequest {
            prefix,
            after,
            limit,
            is_free,
            is_measured,
        } = request;
        let keepers = self.keepers(0);
        let free: HashSet<_> = keepers.free.iter().map(|layer| &layer.record.id).collect();
        let page: Vec<_> = {
            let table = self.store.layers.table();
            let entries = table.entries_from(prefix, after.as_deref());
            let entries = entries.take_while(|entry| entry.id().as_str().starts_with(prefix));
            let fits = |entry: &&Entry| is_free.is_none_or(|is| free.contains(entry.id()) == is);
            entries
                .filter(fits)
                .take(*limit)
                .map(Entry::facts)
                .collect()
        };
        let told = page.into_iter().map(|facts| {
            let is_free = free.contains(&facts.record.id);
            let mut told = self.held(facts, is_free, &keepers);
            if is_free && *is_measured {
                (told.bytes, told.problem) = self.measured_or_why(&told.id, cancel)?;
            }
            Ok(told)
        });
        told.collect()
    }

    /// Removes the layers that nothing keeps, or tells which those are. One that cannot be removed is told with the reason.
    pub(super) fn collect_layers(
        &self,
        request: CollectRequest,
        cancel: &CancelToken,
    ) -> Result<CollectReport> {
        if let Some(by) = self.engine.stores().owner(&self.store) {
            let store = self.store.name.as_str().to_owned();
            return Err(Error::StoreServed { store, by });
        }
        let mut report = CollectReport {
            is_dry_run: request.is_dry_run,
            ..CollectReport::default()
        };
        for layer in self.keepers(request.older_than_seconds).free {
            let removed = self.collect_layer(&layer, request.is_dry_run, cancel);
            match removed {
                Ok(removed) => {
                    report.bytes = report.bytes.saturating_add(removed.bytes.unwrap_or(0));
                    report.removed.push(removed);
                }
                // What is removed is told, because it is gone.
                Err(Error::Cancelled) if !report.removed.is_empty() => {
                    report.is_cut_short = true;
                    break;
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => report.kept.push(KeptLayer {
                    id: layer.record.id.into(),
                    problem: problem(&error),
                }),
            }
        }
        Ok(report)
    }

    fn collect_layer(
        &self,
        layer: &Facts,
        is_dry_run: bool,
        cancel: &CancelToken,
    ) -> Result<CollectedLayer> {
        let id = &layer.record.id;
        let (bytes, _) = self.measured_or_why(id.as_str(), cancel)?;
        if !is_dry_run {
            // Another of the same id, or one that was filled meanwhile, is not what nothing kept.
            let is_same = |now: &LayerView| {
                now.number == layer.number && now.created == layer.record.created && now.mounts == 0
            };
            self.remove_layer(id, &is_same, Syncing::Now, cancel)?;
        }
        Ok(CollectedLayer {
            id: id.as_str().to_owned(),
            bytes,
        })
    }

    /// Who keeps the layers. Those younger than `least_seconds` count as kept.
    fn keepers(&self, least_seconds: u64) -> Keepers {
        let store = &*self.store;
        let owner = self.engine.stores().owner(store);
        let mut snapshots: HashMap<LayerId, Vec<HoldView>> = HashMap::new();
        for (layer, hold) in self.snapshot_holds() {
            snapshots.entry(layer).or_default().push(hold);
        }
        let now = Moment::now();
        let table = store.layers.table();
        let mut layers: Vec<_> = table.entries_from("", None).collect();
        layers.sort_by_key(|entry| std::cmp::Reverse(entry.depth));
        let mut free = HashSet::new();
        let mut found = Vec::new();
        for entry in layers {
            let age = now.seconds.saturating_sub(entry.record.created.seconds);
            let is_kept = owner.is_some()
                || age < least_seconds
                || snapshots.contains_key(entry.id())
                || store.mounts.get(entry.id()).is_some()
                || store.mounts.is_stuck(entry.number)
                || !entry.children.iter().all(|child| free.contains(child));
            if !is_kept {
                free.insert(entry.id().clone());
                found.push(entry.facts());
            }
        }
        Keepers {
            owner,
            snapshots,
            free: found,
        }
    }

    /// The snapshots of the store, with the layers that they keep: their own, and of a view the one that it shows.
    fn snapshot_holds(&self) -> Vec<(LayerId, HoldView)> {
        let Ok(snapshots) = self.store.snapshots() else {
            return Vec::new();
        };
        let table = snapshots.table();
        let all = table.all().into_iter();
        let held = all.filter_map(|snapshot| {
            let shown = || {
                let parent = table.get(snapshot.parent.as_deref()?)?;
                parent.snapshot.layer.clone()
            };
            let layer = match snapshot.kind {
                SnapshotKind::View => snapshot.layer.clone().or_else(shown),
                SnapshotKind::Active | SnapshotKind::Committed => snapshot.layer.clone(),
            };
            let hold = HoldView {
                kind: Some(snapshot.kind.as_str().to_owned()),
                parent: snapshot.parent.clone(),
                labels: snapshot.labels.clone(),
                ..HoldView::new(HoldKind::Snapshot, &snapshot.key, 1)
            };
            Some((layer?, hold))
        });
        held.collect()
    }

    fn held(&self, facts: Facts, is_free: bool, keepers: &Keepers) -> LayerHolds {
        let id = &facts.record.id;
        let client = keepers.owner.as_ref();
        let client = client.map(|owner| HoldView::new(HoldKind::Client, owner, 1));
        let mut held_by: Vec<_> = client.into_iter().collect();
        held_by.extend(keepers.snapshots.get(id).into_iter().flatten().cloned());
        if let Ok(mount) = self.mount_of(id) {
            let path = mount.path.display().to_string();
            held_by.push(HoldView {
                holders: mount.holders,
                ..HoldView::new(HoldKind::Mount, path, mount.references)
            });
        }
        if self.store.mounts.is_stuck(facts.number) {
            // Nobody knows of its references.
            let path = self.store.place.point(facts.number).display().to_string();
            held_by.push(HoldView::new(HoldKind::Mount, path, 0));
        }
        if let Some(child) = &facts.child {
            let children = HoldView::new(HoldKind::Layers, child.as_str(), facts.children);
            held_by.push(children);
        }
        LayerHolds {
            parent: facts
                .record
                .parent
                .as_ref()
                .map(|id| id.as_str().to_owned()),
            created: facts.record.created,
            id: facts.record.id.into(),
            held_by,
            is_free,
            bytes: None,
            problem: None,
        }
    }

    /// What a layer occupies beyond its parent, or why that is not known.
    fn measured_or_why(
        &self,
        id: &str,
        cancel: &CancelToken,
    ) -> Result<(Option<u64>, Option<LayerProblem>)> {
        match self.usage(id, cancel) {
            Ok(usage) => Ok((Some(usage.bytes), None)),
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(error) => Ok((None, Some(problem(&error)))),
        }
    }
}

/// Why something could not be done with one of several layers.
fn problem(error: &Error) -> LayerProblem {
    LayerProblem {
        code: error.code().to_owned(),
        detail: with_causes(error),
    }
}
