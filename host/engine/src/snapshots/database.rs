//! The rows of snapshots on disk: one embedded transactional database, and a log of what it does not have yet.
//!
//! A row is a key and the snapshot as JSON. A transaction is on the device when it ends, whatever the engine's
//! durability is: a snapshot that was told of and is gone would confuse its runtime for good. It ends with the log; the
//! database takes its changes over when they are many.
//!
//! Invariant: a database that cannot be read is never replaced: it is the only place that knows the keys.

use super::log::{self, Log};
use super::{Snapshot, shown};
use crate::{Error, Result};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Its name in a store's directory.
pub(super) const NAME: &str = "snapshots.redb";
/// Snapshots by key.
const ROWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshots");
/// What the file is.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// The fact that says which shape the rows have, and the one that this program writes. In the first one layers had records
/// of their own, which still count where a row says nothing of its layer.
const VERSION: (&str, u64) = ("version", 2);
const OLDEST: u64 = 1;
/// Memory for pages: all rows are in memory as well.
const CACHE_BYTES: usize = 4 << 20;

/// A change of one row.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The snapshot is there, and is so.
    Put(Arc<Snapshot>),
    /// The snapshot of this key is not there.
    Delete(String),
}

/// The rows on disk; none are open after a change failed, until they were read again.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    database: redb::Database,
    log: Log,
    /// What the log says of each key.
    logged: HashMap<String, Option<Arc<Snapshot>>>,
}

impl Database {
    /// Opens the database, or makes it, and reads all rows.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::NoSpace`], [`Error::Io`].
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Snapshot>)> {
        let (open, rows) = load(path)?;
        let database = Self {
            path: path.to_owned(),
            open: Mutex::new(Some(open)),
        };
        Ok((database, rows))
    }

    /// Opens the database again if it failed; what it has then may be less or more than what was asked before.
    pub(super) fn revive(&self) -> Result<Option<Vec<Snapshot>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_some() {
            return Ok(None);
        }
        let (read, rows) = load(&self.path)?;
        *open = Some(read);
        Ok(Some(rows))
    }

    /// Carries out changes, all or none.
    pub(super) fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(there) = &mut *open else {
            let closed = redb::Error::Io(std::io::ErrorKind::NotConnected.into());
            return Err(failed(&self.path, closed));
        };
        if let Err(error) = there.log.append(changes) {
            // No one knows what is on the device after an error: the next change reads it.
            *open = None;
            return Err(failed(&self.path.with_file_name(log::NAME), error));
        }
        there.note(changes);
        if there.log.is_long()
            && let Err(error) = there.take_over()
        {
            tracing::warn!(path = %self.path.display(), %error, "the database does not take the log over");
            *open = None;
        }
        Ok(())
    }
}

impl Open {
    /// Notes what the log says.
    fn note(&mut self, changes: &[Change]) {
        self.logged
            .extend(changes.iter().map(|change| match change {
                Change::Put(snapshot) => (snapshot.key.clone(), Some(Arc::clone(snapshot))),
                Change::Delete(key) => (key.clone(), None),
            }));
    }

    /// Writes what the log says into the database, and clears the log. A crash in between repeats it.
    fn take_over(&mut self) -> std::result::Result<(), redb::Error> {
        if !self.logged.is_empty() {
            write(&self.database, &self.logged)?;
            self.logged.clear();
        }
        Ok(self.log.clear()?)
    }
}

fn write(
    database: &redb::Database,
    logged: &HashMap<String, Option<Arc<Snapshot>>>,
) -> std::result::Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(ROWS)?;
        for (key, snapshot) in logged {
            match snapshot {
                Some(snapshot) => {
                    let row = serde_json::to_vec(&**snapshot).map_err(std::io::Error::from)?;
                    drop(table.insert(key.as_str(), row.as_slice())?);
                }
                None => drop(table.remove(key.as_str())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Opens database and log, and has the one take the other over.
fn load(path: &Path) -> Result<(Open, Vec<Snapshot>)> {
    let (database, rows) = load_database(path)?;
    let log_path = path.with_file_name(log::NAME);
    let (log, changes) = Log::open(&log_path).map_err(|error| failed(&log_path, error))?;
    let mut open = Open {
        database,
        log,
        logged: HashMap::new(),
    };
    open.note(&changes);
    let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    for (key, snapshot) in &open.logged {
        match snapshot {
            Some(snapshot) => drop(rows.insert(key.clone(), Snapshot::clone(snapshot))),
            None => drop(rows.remove(key)),
        }
    }
    open.take_over().map_err(|error| failed(path, error))?;
    Ok((open, rows.into_values().collect()))
}

fn load_database(path: &Path) -> Result<(redb::Database, Vec<Snapshot>)> {
    let corrupt = |reason: String| Error::Corrupt {
        path: path.to_owned(),
        reason,
    };
    // The database asserts what it believes of its pages; a damaged file may break that belief.
    let loaded = catch_unwind(AssertUnwindSafe(|| open(path)))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("its pages make no sense".into())));
    let (database, version, rows) = loaded.map_err(|error| failed(path, error))?;
    if !(OLDEST..=VERSION.1).contains(&version) {
        return Err(corrupt(format!(
            "it has version {version}, this program reads {OLDEST} to {}",
            VERSION.1
        )));
    }
    let mut snapshots = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let snapshot: Snapshot = serde_json::from_slice(&row)
            .map_err(|error| corrupt(format!("the row of snapshot `{}`: {error}", shown(&key))))?;
        if snapshot.key != key {
            return Err(corrupt(format!(
                "the row of snapshot `{}` names another",
                shown(&key)
            )));
        }
        snapshots.push(snapshot);
    }
    Ok((database, snapshots))
}

type Rows = BTreeMap<String, Vec<u8>>;

fn open(path: &Path) -> std::result::Result<(redb::Database, u64, Rows), redb::Error> {
    let database = redb::Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)?;
    let version = match database.begin_read()?.open_table(FACTS) {
        Ok(facts) => facts.get(VERSION.0)?.map_or(0, |version| version.value()),
        Err(TableError::TableDoesNotExist(_)) => OLDEST,
        Err(error) => return Err(error.into()),
    };
    if version == OLDEST {
        let transaction = database.begin_write()?;
        transaction.open_table(ROWS)?;
        transaction
            .open_table(FACTS)?
            .insert(VERSION.0, VERSION.1)?;
        transaction.commit()?;
    }
    let read = database.begin_read()?;
    let mut rows = Rows::new();
    for row in read.open_table(ROWS)?.iter()? {
        let (key, value) = row?;
        rows.insert(key.value().to_owned(), value.value().to_owned());
    }
    Ok((database, version, rows))
}

/// What went wrong with the file, in the engine's words.
fn failed(path: &Path, error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Error::Corrupt {
                path: path.to_owned(),
                reason: error.to_string(),
            }
        }
        redb::Error::Io(error) => Error::path("write", path, error),
        redb::Error::Corrupted(reason) => Error::Corrupt {
            path: path.to_owned(),
            reason,
        },
        error => Error::path("write", path, std::io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, SnapshotKind};
    use std::ops::Not as _;

    fn snapshot(key: &str) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            key: key.into(),
            kind: SnapshotKind::Active,
            parent: None,
            layer: None,
            place: None,
            labels: BTreeMap::from([("a".into(), "b".into())]),
            created: Moment::now(),
            updated: Moment::now(),
            usage: None,
            mapping: None,
            late_parent: false,
        })
    }

    #[test]
    fn what_was_changed_is_there_after_a_start() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        let keys = ["a/b", "\0", "ünï", &"k".repeat(4000)];
        let (database, rows) = Database::open(&path).unwrap();
        assert!(rows.is_empty());
        let puts: Vec<_> = keys.iter().map(|key| Change::Put(snapshot(key))).collect();
        database.apply(&puts).unwrap();
        database.apply(&[Change::Delete("a/b".into())]).unwrap();
        drop(database);
        let (_, rows) = Database::open(&path).unwrap();
        let found: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(found, ["\0", keys[3], "ünï"]);
        assert_eq!(rows[0].labels["a"], "b");
    }

    #[test]
    fn more_changes_than_the_log_holds_are_all_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        let (database, _) = Database::open(&path).unwrap();
        let long = "k".repeat(20_000);
        let sizes: Vec<u64> = (0..100)
            .map(|number| {
                let key = format!("{number:03}{long}");
                database.apply(&[Change::Put(snapshot(&key))]).unwrap();
                if number % 2 == 0 {
                    database.apply(&[Change::Delete(key)]).unwrap();
                }
                place.path().join(log::NAME).metadata().unwrap().len()
            })
            .collect();
        assert!(sizes.is_sorted_by(|one, next| one <= next).not());
        drop(database);
        let (_, rows) = Database::open(&path).unwrap();
        let found: Vec<_> = rows.iter().map(|row| &row.key[..3]).collect();
        let odd: Vec<_> = (0..50).map(|half| format!("{:03}", 2 * half + 1)).collect();
        assert_eq!(found, odd);
    }

    #[test]
    fn a_damaged_file_is_reported_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        assert!(Database::open(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 10_000]);
    }
}
