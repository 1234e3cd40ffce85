//! The rows of a store: what is known of its layers and snapshots, in one file, changed with group commit.
//!
//! ```text
//! <store>/rows.sqlite       an SQLite database; `sqlite3` reads and repairs it while no daemon runs
//! <store>/rows.sqlite-wal   its write-ahead log
//! <store>/rows.mark         the number of the last transaction: tells a file that is older than its layers
//! <store>/rows.sqlite.damaged-<n>   a file that could not be read: kept as it was found
//! ```
//!
//! Rows of snapshots are the truth about them as long as they can be read; rows of layers are a cache of their records.
//! Both can be rebuilt from the records of the layers, so a file that is damaged, lost or old costs no layer: it is set
//! aside, and what can be read of it goes into a new one.
//!
//! Invariant: when a commit returns, its changes are on the device, and so are the names of the layers that they
//! speak of, unless it said [`After::Unwaited`]; no commit is on the device without all earlier ones. One that fails has
//! changed nothing; if no one can know that, the rows change no more until a restart.
//!
//! See docs/decisions/0023-rows-are-one-sqlite-database.md.

mod earlier;
mod file;
mod look;
mod mark;
mod open;
#[cfg(test)]
mod tests;
mod write;

use crate::check::Finding;
use crate::disk::group::Group;
use crate::disk::reserve::Reserve;
use crate::settings::Durability;
use crate::{Error, Result};
use file::RowFile;
pub(crate) use look::{Place, look};
use mark::Mark;
use mica_sys::Name;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use write::Failure;

/// Changes that nobody waits for and that are kept in memory at most: what a kill loses of them, the next start finds out.
const LATER_COUNT: usize = 256;

/// A change of one row. Rows are text, JSON, and nothing here reads them.
#[derive(Clone, Debug)]
pub(crate) enum RowChange {
    /// The snapshot of this key is there, and is so.
    PutSnapshot(String, String),
    /// It is not there.
    DropSnapshot(String),
    /// The record of the layer of this number is so.
    PutLayer(u64, String),
    /// There is no such layer.
    DropLayer(u64),
    /// The layer of this number and id is to be removed, because someone asked for it.
    PutRemoval(u64, String),
    /// It is removed.
    DropRemoval(u64),
    /// A fact about the store is so.
    PutFact(String, u64),
}

/// What has to be on the device before rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing.
    Nothing,
    /// The names in `layers/`.
    Layers,
    /// Nothing, and the changes themselves need not be either: a kill of the process does not lose them, a power cut may. The
    /// next commit that is waited for takes them along, and the names in `layers/`.
    Unwaited,
}

/// A row of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRow {
    /// The snapshot as JSON.
    pub(crate) text: String,
    /// The number of the transaction that wrote it.
    pub(crate) written: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Snapshots by key.
    pub(crate) snapshots: BTreeMap<String, StoredRow>,
    /// Records of layers by number.
    pub(crate) layers: HashMap<u64, String>,
    /// Ids of layers that are to be removed, by number.
    pub(crate) removals: HashMap<u64, String>,
    /// Facts by name.
    facts: BTreeMap<String, u64>,
    /// The number of the last transaction that is known.
    written: u64,
    /// Tables that could not be read to their end, and rows that are not what was written.
    unreadable: usize,
    damaged: usize,
}

/// What a store's rows are, once they are open.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The rows.
    pub(crate) found: Found,
    /// Rows are lost or old, so that records of layers may be newer.
    pub(crate) is_behind: bool,
    /// They were taken over from an earlier release, whose layers of snapshots had no records.
    pub(crate) is_taken_over: bool,
    /// What is wrong with them.
    pub(crate) findings: Vec<Finding>,
}

/// Changes that are to be made together.
#[derive(Debug)]
struct Batch {
    changes: Vec<RowChange>,
    after: After,
}

/// Changes that nobody waits for. A layer that is gone may be forgotten only when its name is gone on the device, so the
/// changes of a transaction whose sync took the names along are made by the next one.
#[derive(Debug, Default)]
struct Later {
    fresh: Vec<RowChange>,
    settled: Vec<RowChange>,
}

/// How many rounds nobody waited for: their rows speak of layers whose names may not be on the device.
#[derive(Debug)]
struct Unwaited {
    made: AtomicU64,
    /// How many of them are on the device, and the names with them.
    synced: AtomicU64,
}

impl Default for Unwaited {
    /// What a process before this one did not wait for may not be on the device yet.
    fn default() -> Self {
        Self {
            made: AtomicU64::new(1),
            synced: AtomicU64::new(0),
        }
    }
}

impl Unwaited {
    /// Whether some may not be on the device.
    fn are_left(&self) -> bool {
        self.synced.load(Ordering::Acquire) < self.made.load(Ordering::Acquire)
    }

    /// Counts a round that nobody waited for, or all before one whose sync took them along.
    fn count(&self, is_waited: bool) {
        if is_waited {
            let made = self.made.load(Ordering::Acquire);
            self.synced.fetch_max(made, Ordering::AcqRel);
        } else {
            self.made.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The rows of a store.
#[derive(Debug)]
pub(crate) struct Rows {
    path: PathBuf,
    home: OwnedFd,
    layers: OwnedFd,
    /// The name of the write-ahead log.
    log: Name,
    durability: Durability,
    file: Mutex<RowFile>,
    group: Group<Batch, std::result::Result<(), Failure>>,
    /// Changes that nobody waits for.
    later: Mutex<Later>,
    facts: Mutex<BTreeMap<String, u64>>,
    mark: Mark,
    reserve: OnceLock<Arc<Reserve>>,
    unwaited: Unwaited,
    written: AtomicU64,
    refusal: OnceLock<String>,
}

impl Rows {
    /// Makes changes, all or none, and waits until they are on the device, if someone wants that.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`]. Nothing is changed, or the rows refuse every further change: see
    /// [`Rows::refusal`].
    pub(crate) fn commit(&self, changes: Vec<RowChange>, after: After) -> Result<()> {
        let outcome = self
            .group
            .run(Batch { changes, after }, |all| self.write_all(all));
        outcome.map_err(|failure| {
            let source = io::Error::new(failure.kind, failure.text);
            Error::path("write", &self.path, source)
        })
    }

    /// Makes a change some time: with the next commit that waits for the names in `layers/`, when there are many, or at
    /// the end.
    pub(crate) fn note(&self, change: RowChange) {
        let count = {
            let mut later = self.later();
            later.fresh.push(change);
            later.fresh.len()
        };
        if count >= LATER_COUNT {
            self.flush();
        }
    }

    /// Makes all changes that nobody waits for.
    pub(crate) fn flush(&self) {
        let flush = || {
            // Two commits: the first brings the names of layers to the device, and only then may the second forget layers.
            if !self.later().fresh.is_empty() {
                self.commit(Vec::new(), After::Layers)?;
            }
            let is_done = self.later().settled.is_empty();
            match is_done {
                true => Ok(()),
                false => self.commit(Vec::new(), After::Nothing),
            }
        };
        if let Err(error) = flush() {
            tracing::warn!(%error, "rows of layers are lost; the next start reads the layers' records instead");
        }
    }

    /// Makes all changes and leaves one file that has everything.
    pub(crate) fn close(&self) {
        self.flush();
        if let Err(error) = self.file().checkpoint() {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the write-ahead log stays; the next start reads it");
        }
    }

    /// Does what brings the whole file system to the device, and with it all rows and names that nobody waited for.
    pub(crate) fn during_sync<E>(
        &self,
        sync: impl FnOnce() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        // What is made meanwhile may not be among them.
        let made = self.unwaited.made.load(Ordering::Acquire);
        sync()?;
        self.unwaited.synced.fetch_max(made, Ordering::AcqRel);
        Ok(())
    }

    /// The number of the last transaction.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Why they change no more, if they do not.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// A fact about the store.
    pub(crate) fn fact(&self, name: &str) -> Option<u64> {
        let facts = self.facts.lock();
        facts.get(name).copied()
    }

    /// Remembers a fact, some time.
    pub(crate) fn note_fact(&self, name: &str, value: u64) {
        let mut facts = self.facts.lock();
        let before = facts.insert(name.to_owned(), value);
        drop(facts);
        // A fact that is noted with each operation would be a row in each transaction.
        if before != Some(value) {
            self.note(RowChange::PutFact(name.to_owned(), value));
        }
    }

    /// Keeps blocks in a home for removals on a full disk.
    pub(crate) fn keep_reserve(&self, home: &Path) -> io::Result<()> {
        // It is asked for once.
        let _first = self.reserve.set(Arc::new(Reserve::open(home)?));
        Ok(())
    }

    /// The blocks that are kept for removals.
    pub(crate) fn reserve(&self) -> Option<&Arc<Reserve>> {
        self.reserve.get()
    }

    fn file(&self) -> MutexGuard<'_, RowFile> {
        self.file.lock()
    }

    fn later(&self) -> MutexGuard<'_, Later> {
        self.later.lock()
    }
}

impl RowChange {
    /// Whether it is part of a removal.
    fn frees(&self) -> bool {
        match self {
            Self::DropSnapshot(_)
            | Self::DropLayer(_)
            | Self::PutRemoval(..)
            | Self::DropRemoval(_) => true,
            Self::PutSnapshot(..) | Self::PutLayer(..) | Self::PutFact(..) => false,
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.flush();
    }
}
