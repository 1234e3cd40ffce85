//! Snapshots: layers under the names of a container runtime that mounts for itself. What can be done with them is in `store.rs`.
//!
//! A snapshot is a row. An active one, and a view of nothing, has a layer of its own; a view of a
//! committed snapshot is that snapshot's layer, read-only. The layer's id is the engine's: a key is data, of any
//! bytes.
//!
//! ```text
//! <store>/rows.sqlite   the rows: see [`crate::disk::rows`]
//! <store>/l/<name>      short names of layers' directories: see `links`; a store that has it is one of snapshots
//! ```
//!
//! Order of writes, so that a process may be killed anywhere:
//!
//! | operation | first | then | last | found after a kill in between |
//! |---|---|---|---|---|
//! | prepare, view | the layer, with a record that has the row | the row | | a layer without a row: see `recover` |
//! | the same to unpack into | the same, marked | the row, which nobody waits for | | the layer goes, also after a power cut |
//! | unpack | the files, and the mark goes, all to the device | the rooms are exchanged | | an active snapshot, as before |
//! | commit | its files to the device | the record, then both rows in one transaction | | an active snapshot, as before |
//! | remove | the row, and that the layer is to be removed | the layer | its files | the layer is removed |
//!
//! Invariant: the rows are the truth about snapshots and their layers as long as they can be read; a layer of a store with
//! snapshots is changed by no one else.

mod store;

mod change;
mod commit;
mod look;
mod prepare;
mod rebase;
mod unpack;

mod links;
mod mapping;
mod mounts;
mod recover;
mod remover;
mod send;
mod snapshot;
mod table;
mod view;

pub use mapping::IdMapping;
pub use snapshot::{
    CommitRequest, LabelChange, LayerPlace, Snapshot, SnapshotKind, SnapshotMount, SnapshotRequest,
    SnapshotUsage,
};
pub use store::SnapshotStore;
pub(crate) use view::{CheckedView, ViewRules};

use crate::check::{Finding, FindingKind};
use crate::disk::files;
use crate::disk::home::{Described, Purpose, Record, Row};
use crate::disk::rows::{After, Loaded, RowChange, Rows};
use crate::layers::{self, LayerSet};
use crate::{Error, LayerId, Result, SafeText};
use links::Links;
use mounts::synthesize;
use parking_lot::{RwLock, RwLockReadGuard};
use remover::Remover;
use snapshot::{check_key, check_labels};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use table::{Change, Entry, Table};
pub(crate) use view::{RoomDirectory, Shape};

/// The snapshots of a store.
#[derive(Debug)]
pub(crate) struct Snapshots {
    store: String,
    layers: Arc<LayerSet>,
    table: RwLock<Table>,
    links: Links,
    remover: Remover,
    /// Whether layers of the driver are directories that overlays stack; known once that was asked.
    pub(crate) stacks: OnceLock<bool>,
}

/// What rows say of a store, before anything is made of it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    snapshots: Vec<Arc<Snapshot>>,
    removals: HashMap<u64, LayerId>,
    is_taken_over: bool,
}

impl Told {
    /// Reads rows. A row that makes no sense is lost as one that is damaged.
    pub(crate) fn new(loaded: &mut Loaded, driver: &str) -> (Self, Described) {
        let mut told = Self {
            is_taken_over: loaded.is_taken_over,
            ..Self::default()
        };
        let mut described = Described::default();
        for (key, row) in &loaded.found.snapshots {
            let snapshot = serde_json::from_str::<Snapshot>(&row.text);
            match snapshot.ok().filter(|snapshot| snapshot.key == *key) {
                Some(snapshot) => {
                    let record = snapshot.described(driver);
                    let record = record.map(|(number, record)| (number, (record, row.written)));
                    described.snapshots.extend(record);
                    told.snapshots.push(Arc::new(snapshot));
                }
                None => {
                    loaded.is_behind = true;
                    let detail = format!(
                        "the row of snapshot `{}` makes no sense; the record of its layer counts",
                        shown(key)
                    );
                    let finding = Finding::new(FindingKind::RowDamaged, detail);
                    loaded.findings.push(finding.of_snapshot(key));
                }
            }
        }
        let removals = loaded.found.removals.iter();
        let removals =
            removals.filter_map(|(number, id)| Some((*number, LayerId::parse(id).ok()?)));
        told.removals = removals.collect();
        let records = loaded.found.layers.iter();
        let records = records.filter_map(|(number, text)| Some((*number, Row::from_text(text)?)));
        described.records = records.collect();
        described.removals.clone_from(&told.removals);
        described.is_behind = loaded.is_behind;
        (told, described)
    }
}

impl Snapshots {
    /// Says whether a store is one of snapshots.
    pub(crate) fn are_in(home: &Path, told: &Told) -> bool {
        !told.snapshots.is_empty() || told.is_taken_over || Links::are_in(home)
    }

    /// Makes the rows of a store its snapshots. What needs a person comes back as well.
    pub(crate) fn new(
        told: &Told,
        home: &Path,
        layers: &Arc<LayerSet>,
    ) -> Result<(Self, Vec<Finding>)> {
        let links = Links::open(home).map_err(|error| Error::path("open links of", home, error))?;
        let found = recover::reconcile(told.snapshots.clone(), &told.removals, &layers.table());
        let snapshots = Self {
            store: layers.store.clone(),
            layers: Arc::clone(layers),
            table: RwLock::new(Table::load(found.rows.into_values().collect())),
            links,
            remover: Remover::default(),
            stacks: OnceLock::new(),
        };
        if !found.restored.is_empty() {
            let (store, restored) = (&snapshots.store, found.restored.len());
            tracing::warn!(
                store,
                restored,
                "snapshots were taken from the records of their layers"
            );
        }
        if !found.changes.is_empty() {
            let rows = found.changes.iter().map(Change::rows);
            let rows: Result<Vec<_>> = rows.collect();
            snapshots.put_right(rows?.concat());
        }
        if told.is_taken_over
            && let Err(error) = snapshots.write_records()
        {
            tracing::warn!(store = snapshots.store, %error, "layers have no records: without rows, no one knows them");
        }
        for layer in found.unowned {
            snapshots.remover.take(layer);
        }
        snapshots.links.keep_only(&layers.numbers());
        Ok((snapshots, found.findings))
    }

    /// What is wrong with the snapshots of a store whose layers these are; nothing is changed. Of layers whose removal was
    /// asked for, those that are built on others come first.
    pub(crate) fn look(told: &Told, home: &Path, layers: &layers::Table) -> Vec<Finding> {
        if !Self::are_in(home, told) {
            return Vec::new();
        }
        let found = recover::reconcile(told.snapshots.clone(), &told.removals, layers);
        let mut findings = found.findings;
        findings.extend(found.restored.iter().map(|key| {
            let detail = format!(
                "the row of snapshot `{}` is missing or older than the record of its layer",
                shown(key)
            );
            Finding::new(FindingKind::SnapshotUnlisted, detail).of_snapshot(key)
        }));
        findings.extend(found.unowned.iter().map(|layer| {
            let detail =
                format!("layer `{layer}` is still there, though its removal was asked for");
            Finding::new(FindingKind::RemovalPending, detail).of_layer(layer.as_str())
        }));
        let entries = layers.page(None, usize::MAX);
        let numbers = entries.map(|entry| entry.number).collect();
        findings.extend(links::find_wrong(home, &numbers));
        findings
    }

    /// Makes the rows on disk agree with what was found; if that cannot be now, it is found again.
    fn put_right(&self, changes: Vec<RowChange>) {
        if let Err(error) = self.rows().commit(changes.clone(), After::Layers) {
            tracing::warn!(store = self.store, %error, "the rows are put right later");
            changes
                .into_iter()
                .for_each(|change| self.rows().note(change));
        }
    }

    /// Writes the records of all layers, which earlier releases did not.
    fn write_records(&self) -> Result<()> {
        for snapshot in self.table().all() {
            self.write_record(&snapshot)?;
        }
        let synced = self.layers.home().sync();
        synced.map_err(|error| Error::io(format!("sync store `{}`", self.store), error))
    }

    /// Writes a snapshot into the record of its layer, if it has one.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`].
    pub(crate) fn write_record(&self, snapshot: &Snapshot) -> Result<()> {
        let Some((number, record)) = snapshot.described(&self.layers.driver) else {
            return Ok(());
        };
        if self.layers.table().get(record.id.as_str()).is_none() {
            return Ok(());
        }
        let record: Record = record.for_purpose(Some(self.purpose(snapshot)?));
        let written = self.layers.home().replace_record(number, &record);
        let doing = || format!("write the record of snapshot `{}`", shown(&snapshot.key));
        written.map_err(|error| Error::io(doing(), error))
    }

    /// What the record of a snapshot's layer says that it is needed for.
    pub(crate) fn purpose(&self, snapshot: &Snapshot) -> Result<Purpose> {
        let row = Snapshot {
            place: None,
            usage: None,
            ..snapshot.clone()
        };
        let row = serde_json::to_value(row).map_err(unwritable)?;
        let written = self.rows().written();
        Ok(Purpose::Snapshot { written, row })
    }

    fn rows(&self) -> &Rows {
        self.layers.home().rows()
    }

    /// The id of a new layer.
    pub(crate) fn new_layer_id() -> Result<LayerId> {
        let random = files::random_name().map_err(|error| Error::io("make a layer's id", error))?;
        LayerId::of_snapshot(&random)
    }

    /// The table, for a short look.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read()
    }

    /// A snapshot.
    ///
    /// # Errors
    /// [`Error::UnknownSnapshot`].
    pub(crate) fn get(&self, key: &str) -> Result<Arc<Snapshot>> {
        self.table()
            .get(key)
            .map(|entry| Arc::clone(&entry.snapshot))
            .ok_or_else(|| self.unknown(key))
    }

    /// The error for a snapshot that is not there.
    fn unknown(&self, key: &str) -> Error {
        Error::UnknownSnapshot {
            store: self.store.clone(),
            key: shown(key),
        }
    }

    /// Checks that a key or name is free.
    ///
    /// # Errors
    /// [`Error::SnapshotExists`].
    pub(crate) fn check_free(&self, key: &str) -> Result<()> {
        if self.table().get(key).is_none() {
            return Ok(());
        }
        Err(Error::SnapshotExists {
            store: self.store.clone(),
            key: shown(key),
        })
    }

    /// Changes rows: all or none, and on the device before anyone sees it. Whoever changes a snapshot holds the lock of its
    /// key, so changes of one snapshot come one after the other here as well.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`]: everything is as it was, or nothing is changed any more until a restart.
    pub(crate) fn change(&self, changes: &[Change], after: After) -> Result<()> {
        let rows: Result<Vec<_>> = changes.iter().map(Change::rows).collect();
        self.rows().commit(rows?.concat(), after)?;
        let mut table = self.table.write();
        for change in changes {
            table.apply(change);
        }
        Ok(())
    }

    /// Gives up the layer of a snapshot that was refused. While no one knows whether its row is on the device, it stays.
    pub(crate) fn give_up(&self, layer: LayerId) {
        if self.rows().refusal().is_some() {
            return;
        }
        let number = self
            .layers
            .table()
            .get(layer.as_str())
            .map(|entry| entry.number);
        if let Some(number) = number
            && let Err(error) = self.layers.home().give_up(number)
        {
            tracing::warn!(store = self.store, %layer, %error, "a restart before its removal would bring the layer back");
        }
        self.remover.take(layer);
    }

    /// What removes layers whose rows are gone.
    pub(crate) fn remover(&self) -> &Remover {
        &self.remover
    }

    /// Short names for directories of layers.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }
}

impl Change {
    /// The rows that it changes.
    fn rows(&self) -> Result<Vec<RowChange>> {
        Ok(match self {
            Self::Put(snapshot) => {
                let row = serde_json::to_string(&**snapshot).map_err(unwritable)?;
                vec![RowChange::PutSnapshot(snapshot.key.clone(), row)]
            }
            Self::Delete(key, layer) => {
                let removal = layer.iter();
                let removal =
                    removal.map(|(number, id)| RowChange::PutRemoval(*number, id.to_string()));
                std::iter::once(RowChange::DropSnapshot(key.clone()))
                    .chain(removal)
                    .collect()
            }
        })
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::io("write a snapshot as JSON", error.into())
}

/// A key as an error may repeat it: printable, and not longer than keys that people read.
pub(crate) fn shown(key: &str) -> String {
    SafeText::label(key).into()
}
