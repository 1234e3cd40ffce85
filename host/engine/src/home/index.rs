//! A cache of the records, so that a start does not read a file for each layer.
//!
//! A row is a number, the record and the stamp of its file. Rows are written by a thread of their own, many in one transaction,
//! and get to the device when there are many or a flush is asked for: what a crash loses is found again by
//! [`super::recover`].
//!
//! Invariant: nothing depends on the index being right; a file that cannot be read is thrown away.

use super::record::Row;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Records by number.
const LAYERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("layers");
/// Memory for pages: the database is read once and then only written.
const CACHE_BYTES: usize = 4 << 20;
/// How long the writer waits for more rows: layers come in numbers, and nobody waits for it.
const GATHER: Duration = Duration::from_millis(50);
/// Most rows of one transaction.
const BATCH: usize = 1024;

enum Update {
    Put(u64, Vec<u8>),
    Delete(u64),
    Flush(Sender<()>),
}

/// Where updates go.
#[derive(Debug)]
pub(super) struct Index {
    updates: Option<Sender<Update>>,
    writer: Option<JoinHandle<()>>,
}

impl Index {
    /// Opens the index and reads its rows; without an index, or with a damaged one, there are none.
    pub(super) fn open(path: &Path) -> (Self, HashMap<u64, Row>) {
        // The database asserts what it believes of its pages; a damaged file may break that belief.
        let attempt = || {
            catch_unwind(AssertUnwindSafe(|| load(path)))
                .unwrap_or_else(|_| Err("it is damaged".into()))
        };
        let loaded = attempt().or_else(|reason| {
            tracing::warn!(path = %path.display(), reason, "the index is made anew");
            std::fs::remove_file(path).map_err(|error| error.to_string())?;
            attempt()
        });
        match loaded {
            Ok((database, rows)) => (Self::start(database), rows),
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "there is no index: the next start will be slow");
                (
                    Self {
                        updates: None,
                        writer: None,
                    },
                    HashMap::new(),
                )
            }
        }
    }

    fn start(database: Database) -> Self {
        let (updates, receiver) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("mica-index".into())
            .spawn(move || write_all(&database, &receiver));
        Self {
            updates: Some(updates),
            writer: writer.ok(),
        }
    }

    pub(super) fn put(&self, number: u64, record: Vec<u8>) {
        self.send(Update::Put(number, record));
    }

    pub(super) fn delete(&self, number: u64) {
        self.send(Update::Delete(number));
    }

    /// Waits until everything is written.
    pub(super) fn flush(&self) {
        let (done, wait) = mpsc::channel();
        self.send(Update::Flush(done));
        // An error means that there is no writer: then there is nothing to wait for.
        let _ended = wait.recv();
    }

    fn send(&self, update: Update) {
        if let Some(updates) = &self.updates {
            // The writer ends only when this sender goes.
            let _sent = updates.send(update);
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.updates = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so itself.
            let _ended = writer.join();
        }
    }
}

fn load(path: &Path) -> Result<(Database, HashMap<u64, Row>), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| text(&error))?;
    let begun = database.begin_write().map_err(|error| text(&error))?;
    begun.open_table(LAYERS).map_err(|error| text(&error))?;
    begun.commit().map_err(|error| text(&error))?;
    let rows = rows(&database).map_err(|error| text(&error))?;
    Ok((database, rows))
}

fn rows(database: &Database) -> Result<HashMap<u64, Row>, redb::Error> {
    let table = database.begin_read()?.open_table(LAYERS)?;
    let mut rows = HashMap::new();
    for row in table.iter()? {
        let (number, bytes) = row?;
        // A row that cannot be read is as good as none: the record is read instead.
        if let Some(row) = Row::from_bytes(bytes.value()) {
            rows.insert(number.value(), row);
        }
    }
    Ok(rows)
}

fn write_all(database: &Database, receiver: &Receiver<Update>) {
    let mut unsynced = 0;
    while let Ok(first) = receiver.recv() {
        if !matches!(first, Update::Flush(_)) {
            std::thread::sleep(GATHER);
        }
        let mut waiting = Vec::new();
        let batch = std::iter::once(first)
            .chain(receiver.try_iter())
            .take(BATCH);
        if let Err(error) = write(database, batch, &mut waiting, &mut unsynced) {
            tracing::warn!(%error, "rows of the index are lost; the next start reads the records instead");
        }
        for done in waiting {
            // Whoever waited may have gone.
            let _told = done.send(());
        }
    }
}

fn write(
    database: &Database,
    batch: impl Iterator<Item = Update>,
    waiting: &mut Vec<Sender<()>>,
    unsynced: &mut usize,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(LAYERS)?;
        for update in batch {
            *unsynced += 1;
            match update {
                Update::Put(number, record) => drop(table.insert(number, record.as_slice())?),
                Update::Delete(number) => drop(table.remove(number)?),
                Update::Flush(done) => waiting.push(done),
            }
        }
    }
    if waiting.is_empty() && *unsynced < BATCH {
        transaction.set_durability(Durability::None)?;
    } else {
        *unsynced = 0;
    }
    transaction.commit()?;
    Ok(())
}
