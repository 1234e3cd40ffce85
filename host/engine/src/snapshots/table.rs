//! The snapshots of a store in memory.
//!
//! Invariant: `children` of a snapshot are exactly the snapshots whose `parent` it is.

use super::{Snapshot, SnapshotKind, SnapshotMount};
use crate::LayerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// A change of one snapshot.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The snapshot is there, and is so.
    Put(Arc<Snapshot>),
    /// The snapshot of this key is not there, and its layer, if one is named, is to be removed.
    Delete(String, Option<(u64, LayerId)>),
}

/// A snapshot, with what is built on it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) children: BTreeSet<String>,
    /// How it is mounted, once that was asked: its layers do not move as long as it is there.
    mounts: OnceLock<Arc<[SnapshotMount]>>,
}

impl Entry {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            children: BTreeSet::new(),
            mounts: OnceLock::new(),
        }
    }

    /// How it is mounted, if that is known.
    pub(crate) fn mounts(&self) -> Option<Arc<[SnapshotMount]>> {
        self.mounts.get().map(Arc::clone)
    }

    /// Remembers how it is mounted.
    pub(crate) fn remember(&self, mounts: &Arc<[SnapshotMount]>) {
        // An error means that it is known already, and then it is the same.
        let _first = self.mounts.set(Arc::clone(mounts));
    }
}

/// Snapshots by key.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<String, Entry>);

impl Table {
    pub(super) fn load(rows: Vec<Arc<Snapshot>>) -> Self {
        let mut table = Self::default();
        let mut links = Vec::new();
        for row in rows {
            links.extend(row.parent.clone().map(|parent| (parent, row.key.clone())));
            let entry = Entry::new(row);
            table.0.insert(entry.snapshot.key.clone(), entry);
        }
        for (parent, child) in links {
            if let Some(entry) = table.0.get_mut(&parent) {
                entry.children.insert(child);
            }
        }
        table
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(snapshot) => self.put(snapshot),
            Change::Delete(key, _) => self.delete(key),
        }
    }

    fn put(&mut self, snapshot: &Arc<Snapshot>) {
        if let Some(entry) = self.0.get_mut(&snapshot.key) {
            entry.snapshot = Arc::clone(snapshot);
            return;
        }
        if let Some(parent) = self.parent_of(snapshot) {
            parent.children.insert(snapshot.key.clone());
        }
        let entry = Entry::new(Arc::clone(snapshot));
        self.0.insert(snapshot.key.clone(), entry);
    }

    fn delete(&mut self, key: &str) {
        if let Some(gone) = self.0.remove(key)
            && let Some(parent) = self.parent_of(&gone.snapshot)
        {
            parent.children.remove(key);
        }
    }

    fn parent_of(&mut self, snapshot: &Snapshot) -> Option<&mut Entry> {
        self.0.get_mut(snapshot.parent.as_ref()?)
    }

    /// Number of snapshots.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A snapshot.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// A committed snapshot on this parent, or on nothing, that has a label.
    pub(crate) fn held(&self, parent: Option<&str>, label: &(String, String)) -> Option<&Snapshot> {
        let (name, value) = label;
        let is_held = |snapshot: &&Snapshot| {
            snapshot.kind == SnapshotKind::Committed
                && snapshot.parent.as_deref() == parent
                && snapshot.labels.get(name) == Some(value)
        };
        let entries: Vec<&Entry> = match parent {
            Some(parent) => {
                let children = self.get(parent)?.children.iter();
                children.filter_map(|child| self.get(child)).collect()
            }
            None => self.0.values().collect(),
        };
        let mut snapshots = entries.into_iter().map(|entry| &*entry.snapshot);
        snapshots.find(is_held)
    }

    /// All snapshots of this moment, in byte order of their keys.
    pub(crate) fn all(&self) -> Vec<Arc<Snapshot>> {
        let entries = self.0.values();
        entries.map(|entry| Arc::clone(&entry.snapshot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, SnapshotKind};

    fn snapshot(key: &str, parent: Option<&str>) -> Snapshot {
        Snapshot {
            key: key.into(),
            kind: SnapshotKind::Committed,
            parent: parent.map(str::to_owned),
            layer: None,
            place: None,
            labels: BTreeMap::new(),
            created: Moment::now(),
            updated: Moment::now(),
            usage: None,
            mapping: None,
            late_parent: false,
            replaceable: false,
        }
    }

    #[test]
    fn children_follow_every_change() {
        let mut table = Table::load(vec![
            Arc::new(snapshot("b", Some("a"))),
            Arc::new(snapshot("a", None)),
        ]);
        let children = |table: &Table| table.get("a").unwrap().children.len();
        assert_eq!(children(&table), 1);
        table.apply(&Change::Put(Arc::new(snapshot("c", Some("a")))));
        assert_eq!(children(&table), 2);
        table.apply(&Change::Put(Arc::new(snapshot("c", Some("a")))));
        assert_eq!(children(&table), 2);
        for key in ["b", "c", "c"] {
            table.apply(&Change::Delete(key.into(), None));
        }
        assert_eq!((children(&table), table.all().len()), (0, 1));
    }
}
