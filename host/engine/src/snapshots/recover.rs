//! What a store has of snapshots, whatever happened before.
//!
//! | row | its layer | becomes |
//! |---|---|---|
//! | there | there, or none needed | a snapshot |
//! | there, but older than the record of its layer | there | a snapshot, as the record says |
//! | there | missing, nothing built on the snapshot | the row goes, and that is reported |
//! | there | missing, others built on it | stays, so that they keep their names; it is reported |
//! | none | there; someone asked to remove it, or gave it up | the layer is removed |
//! | none | there, with a record of a snapshot whose key is free | a snapshot, as the record says |
//! | none | there, with any other record | stays, and is reported |
//!
//! A layer without a row is what a Prepare left that was killed before its row was there, or what rows left that are lost:
//! it becomes a snapshot in both cases. Nobody was told of the first; a container runtime removes snapshots that it does not know.
//!
//! Invariant: nothing here depends on the order of rows, and no layer is removed that nobody asked to remove.

use super::{Change, LayerPlace, Snapshot, shown};
use crate::LayerId;
use crate::check::{Finding, FindingKind};
use crate::disk::home::Purpose;
use crate::layers::{Entry, Table};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What a store has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Snapshots by key.
    pub(super) rows: BTreeMap<String, Arc<Snapshot>>,
    /// Changes that make the rows on disk agree.
    pub(super) changes: Vec<Change>,
    /// Layers that are to be removed, those that are built on others first.
    pub(super) unowned: Vec<LayerId>,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
    /// Snapshots that records of layers told of, by key.
    pub(super) restored: Vec<String>,
}

/// Compares rows with layers, and changes nothing.
pub(super) fn reconcile(
    rows: Vec<Arc<Snapshot>>,
    removals: &HashMap<u64, LayerId>,
    table: &Table,
) -> Found {
    let mut found = Found::default();
    for row in rows {
        found.rows.insert(row.key.clone(), row);
    }
    let entries: Vec<&Entry> = table.page(None, usize::MAX).collect();
    found.take_newer(&entries);
    found.take_layers(&entries, removals);
    found.drop_lost(&|layer| table.get(layer.as_str()).is_some());
    found
}

/// What the record of a layer says of its snapshot.
fn of_record(entry: &Entry) -> Option<Snapshot> {
    let Some(Purpose::Snapshot { row, .. }) = &entry.record.purpose else {
        return None;
    };
    let told: Snapshot = serde_json::from_value(row.clone()).ok()?;
    Some(Snapshot {
        layer: Some(entry.id().clone()),
        place: Some(LayerPlace::of(&entry.facts())),
        ..told
    })
}

impl Found {
    fn put(&mut self, snapshot: Snapshot) {
        self.restored.push(snapshot.key.clone());
        let snapshot = Arc::new(snapshot);
        self.changes.push(Change::Put(Arc::clone(&snapshot)));
        self.rows.insert(snapshot.key.clone(), snapshot);
    }

    /// Takes what records say that are newer than the rows of their layers.
    fn take_newer(&mut self, entries: &[&Entry]) {
        let keys: HashMap<LayerId, String> = self
            .rows
            .values()
            .filter_map(|row| Some((row.layer.clone()?, row.key.clone())))
            .collect();
        for entry in entries {
            let (Some(key), Some(told)) = (keys.get(entry.id()), of_record(entry)) else {
                continue;
            };
            if told.key != *key {
                if self.rows.contains_key(&told.key) {
                    self.tell_of(entry, &told.key);
                    continue;
                }
                self.rows.remove(key);
                self.changes.push(Change::Delete(key.clone(), None));
            }
            self.put(told);
        }
    }

    /// Finds a use for each layer that no row has.
    fn take_layers(&mut self, entries: &[&Entry], removals: &HashMap<u64, LayerId>) {
        let rows = self.rows.values();
        let owned: HashSet<LayerId> = rows.filter_map(|row| row.layer.clone()).collect();
        let mut unowned = Vec::new();
        // The newest first, so that it gets the key that several had one after the other.
        let mut free: Vec<&&Entry> = entries
            .iter()
            .filter(|entry| !owned.contains(entry.id()))
            .collect();
        free.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        for entry in free {
            let is_asked = removals.get(&entry.number) == Some(entry.id());
            if is_asked || entry.record.purpose == Some(Purpose::Nothing) {
                unowned.push((entry.depth, entry.id().clone()));
                continue;
            }
            match of_record(entry) {
                Some(told) if !self.rows.contains_key(&told.key) => self.put(told),
                Some(told) => self.tell_of(entry, &told.key),
                None => {
                    let detail = format!(
                        "layer `{}` belongs to no snapshot, though its store has only snapshots: it is kept in `layers/{}`",
                        entry.id(),
                        entry.number
                    );
                    self.unclaimed(entry, detail);
                }
            }
        }
        unowned.sort_by(|one, other| other.cmp(one));
        self.unowned = unowned.into_iter().map(|(_, id)| id).collect();
    }

    fn tell_of(&mut self, entry: &Entry, key: &str) {
        let detail = format!(
            "layer `{}` is of snapshot `{}`, which has another layer now: it is kept in `layers/{}` until `mica repair` sets it \
             aside, or you delete that directory while Mica does not run",
            entry.id(),
            shown(key),
            entry.number
        );
        self.unclaimed(entry, detail);
    }

    fn unclaimed(&mut self, entry: &Entry, detail: String) {
        let kind = match entry.children.is_empty() {
            true => FindingKind::LayerUnclaimed,
            false => FindingKind::ParentUnclaimed,
        };
        let finding = Finding::new(kind, detail);
        self.findings
            .push(finding.of_layer(entry.id().as_str()).numbered(entry.number));
    }

    /// Drops snapshots whose layers are lost, unless others are built on them.
    fn drop_lost(&mut self, is_there: &dyn Fn(&LayerId) -> bool) {
        let is_lost =
            |row: &Arc<Snapshot>| row.layer.as_ref().is_some_and(|layer| !is_there(layer));
        // A snapshot may lose its last child here, so that it can go as well.
        loop {
            let parents: HashSet<&String> = self
                .rows
                .values()
                .filter_map(|row| row.parent.as_ref())
                .collect();
            let gone: Vec<String> = self
                .rows
                .values()
                .filter(|row| is_lost(row) && !parents.contains(&row.key))
                .map(|row| row.key.clone())
                .collect();
            if gone.is_empty() {
                break;
            }
            for key in gone {
                self.rows.remove(&key);
                let detail = format!(
                    "the layer of snapshot `{}` is lost, and so the snapshot goes",
                    shown(&key)
                );
                let finding = Finding::new(FindingKind::SnapshotLost, detail);
                self.findings.push(finding.of_snapshot(&key));
                self.changes.push(Change::Delete(key, None));
            }
        }
        for row in self.rows.values().filter(|row| is_lost(row)) {
            let detail = format!(
                "the layer of snapshot `{}` is lost, but others are built on it",
                shown(&row.key)
            );
            let finding = Finding::new(FindingKind::SnapshotBroken, detail);
            self.findings.push(finding.of_snapshot(&row.key));
        }
    }
}
