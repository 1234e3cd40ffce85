//! Snapshots: layers under the names of a container runtime that mounts for itself.
//!
//! A snapshot is a row in a database. An active one, and a view of nothing, has a layer of its own; a view of a
//! committed snapshot is that snapshot's layer, read-only. The layer's id is the engine's: a key is data, of any
//! bytes.
//!
//! ```text
//! <store>/snapshots.redb   the rows: see `database`
//! <store>/snapshots.log    changes of rows that are not in the database yet: see `log`
//! <store>/l/<name>         short names of layers' directories: see `links`
//! ```
//!
//! Order of writes, so that a process may be killed anywhere:
//!
//! | operation | first | then | last | found after a kill in between |
//! |---|---|---|---|---|
//! | prepare, view | the layer | the row | | a layer without a row: it is removed |
//! | commit | its files to the device | both rows, in one transaction | | an active snapshot, as before |
//! | remove | the row | the layer | its files | a layer without a row: it is removed |
//!
//! A row describes the snapshot's layer as well, so that nothing else has to be on the device before it.
//!
//! Invariant: the rows are the truth about snapshots and their layers; a layer of a store with snapshots is changed by no
//! one else.

mod database;
mod links;
mod log;
mod mapping;
mod mounts;
mod recover;
mod remover;
mod snapshot;
mod table;
mod view;

pub(crate) use database::Change;
pub use mapping::IdMapping;
pub(crate) use mounts::synthesize;
pub(crate) use remover::Remover;
pub use snapshot::{
    CommitRequest, LabelChange, LayerPlace, Snapshot, SnapshotKind, SnapshotMount, SnapshotRequest,
    SnapshotUsage,
};
pub(crate) use snapshot::{check_key, check_labels};
pub(crate) use table::Entry;
pub(crate) use view::{CheckedView, RoomDirectory, Shape, ViewRules};

use crate::home::Described;
use crate::layers::LayerSet;
use crate::{Error, LayerId, Result, SafeText, files};
use database::Database;
use links::Links;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use table::Table;

/// The snapshots of a store.
#[derive(Debug)]
pub(crate) struct Snapshots {
    store: String,
    database: Database,
    /// Held by the one who changes rows.
    turn: Mutex<()>,
    table: RwLock<Table>,
    links: Links,
    remover: Arc<Remover>,
    /// Whether layers of the driver are directories that overlays stack; known once that was asked.
    pub(crate) stacks: OnceLock<bool>,
}

/// The rows of a store's snapshots, before anything is made of them.
#[derive(Debug)]
pub(crate) struct Rows {
    database: Database,
    rows: Vec<Snapshot>,
}

impl Rows {
    /// Opens the database of a store, and makes it if it is missing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the database cannot be read: it is left as it is.
    pub(crate) fn open(home: &Path) -> Result<Self> {
        let (database, rows) = Database::open(&home.join(database::NAME))?;
        Ok(Self { database, rows })
    }

    /// The layers, as the rows describe them.
    pub(crate) fn layers(&self, driver: &str) -> Described {
        let records = self.rows.iter().filter_map(|row| row.described(driver));
        Described::new(driver, records.collect())
    }
}

impl Snapshots {
    /// Says whether a store's directory has snapshots.
    pub(crate) fn are_in(home: &Path) -> bool {
        home.join(database::NAME).exists()
    }

    /// Takes rows for a store's snapshots. What needs a person comes back as well.
    pub(crate) fn new(rows: Rows, home: &Path, layers: &LayerSet) -> Result<(Self, Vec<String>)> {
        let Rows { database, rows } = rows;
        let links = Links::open(home).map_err(|error| Error::path("open links of", home, error))?;
        let found = recover::reconcile(rows, layers);
        let snapshots = Self {
            store: layers.store.clone(),
            database,
            turn: Mutex::default(),
            table: RwLock::new(Table::load(found.rows)),
            links,
            remover: Arc::new(Remover::default()),
            stacks: OnceLock::new(),
        };
        if !found.gone.is_empty() {
            let gone: Vec<Change> = found.gone.into_iter().map(Change::Delete).collect();
            snapshots.change(&gone)?;
        }
        for layer in found.unowned {
            snapshots.remover.take(layer);
        }
        snapshots.links.keep_only(&layers.numbers());
        Ok((snapshots, found.problems))
    }

    /// The id of a new layer.
    pub(crate) fn new_layer_id() -> Result<LayerId> {
        let random = files::random_name().map_err(|error| Error::io("make a layer's id", error))?;
        LayerId::of_snapshot(&random)
    }

    /// The table, for a short look.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
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

    /// Changes rows: all or none, and on the device before anyone sees it.
    pub(crate) fn change(&self, changes: &[Change]) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.database.revive()?;
        let write = || self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = rows {
            *write() = Table::load(rows);
        }
        self.database.apply(changes)?;
        let mut table = write();
        for change in changes {
            table.apply(change);
        }
        Ok(())
    }

    /// What removes layers whose rows are gone.
    pub(crate) fn remover(&self) -> &Arc<Remover> {
        &self.remover
    }

    /// Short names for directories of layers.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.remover.end();
    }
}

/// A key as an error may repeat it: printable, and not longer than keys that people read.
pub(crate) fn shown(key: &str) -> String {
    SafeText::label(key).into()
}
