//! What a store has of snapshots, whatever happened before.
//!
//! | row | its layer | becomes |
//! |---|---|---|
//! | there | there, or none needed | a snapshot |
//! | there, but older than the record of its layer | there | a snapshot, as the record says |
//! | there | not readable now | a snapshot that cannot be used; it is reported |
//! | there | missing, nothing built on the snapshot | the row goes, and that is reported, unless it was replaceable |
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
    found.tell_unseen(table);
    found.drop_lost(&|row| {
        let layer = row.layer.as_ref();
        layer.is_none_or(|layer| table.get(layer.as_str()).is_some()) || is_unseen(row, table)
    });
    found
}

/// Whether the layer of a snapshot cannot be read now.
fn is_unseen(row: &Snapshot, table: &Table) -> bool {
    let is_there = |layer: &LayerId| table.get(layer.as_str()).is_some();
    let number = row.place.as_ref().map(LayerPlace::number);
    row.layer.as_ref().is_some_and(|layer| !is_there(layer))
        && number.is_some_and(|number| table.is_unseen(number))
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

    /// Tells of snapshots whose layers cannot be read now. They stay, because an error of the disk may pass.
    fn tell_unseen(&mut self, table: &Table) {
        for row in self.rows.values().filter(|row| is_unseen(row, table)) {
            let detail = format!(
                "the layer of snapshot `{}` cannot be read now, and the snapshot cannot be used until it can",
                shown(&row.key)
            );
            let finding = Finding::new(FindingKind::Unseen, detail);
            self.findings.push(finding.of_snapshot(&row.key));
        }
    }

    /// Drops snapshots whose layers are lost, unless others are built on them.
    fn drop_lost(&mut self, is_there: &dyn Fn(&Snapshot) -> bool) {
        let is_lost = |row: &Arc<Snapshot>| !is_there(row);
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
                let row = self.rows.remove(&key);
                if row.is_some_and(|row| row.replaceable) {
                    // A power cut took its layer before anyone waited for it.
                    self.changes.push(Change::Delete(key, None));
                    continue;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::home::Record;
    use crate::layers::Facts;
    use crate::{Moment, SnapshotKind};
    use mica_runtime::LayerKind;

    fn row(key: &str, number: u64) -> Arc<Snapshot> {
        let layer = LayerId::parse(key).unwrap();
        let facts = Facts {
            number,
            record: Record::new(layer.clone(), None, LayerKind::ReadWrite, "test"),
            depth: 1,
            children: 0,
            child: None,
        };
        Arc::new(Snapshot {
            key: key.to_owned(),
            kind: SnapshotKind::Committed,
            parent: None,
            layer: Some(layer),
            place: Some(LayerPlace::of(&facts)),
            labels: BTreeMap::new(),
            created: Moment::now(),
            updated: Moment::now(),
            usage: None,
            mapping: None,
            late_parent: false,
            replaceable: false,
        })
    }

    #[test]
    fn a_snapshot_whose_layer_cannot_be_read_now_is_kept_and_one_whose_layer_is_gone_is_not() {
        let table = Table::load(Vec::new()).with_unseen(HashSet::from([7]));
        let found = reconcile(
            vec![row("unseen", 7), row("lost", 8)],
            &HashMap::new(),
            &table,
        );
        assert_eq!(found.rows.keys().collect::<Vec<_>>(), ["unseen"]);
        let told = found.findings.iter();
        let told: Vec<_> = told
            .map(|one| (one.kind, one.snapshot.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (FindingKind::Unseen, Some("unseen")),
                (FindingKind::SnapshotLost, Some("lost"))
            ]
        );
        assert_eq!(found.changes.len(), 1, "only the row of the lost one goes");
    }
}
