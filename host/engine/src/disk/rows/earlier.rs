//! Takes over what releases before 0.1.0 kept of snapshots: a redb database and a log of what it did not have yet.
//!
//! ```text
//! <store>/snapshots.redb   table `snapshots`: keys and snapshots as JSON; table `facts`: `version`
//! <store>/snapshots.log    pieces: a head, and changes as JSON; the head is the length of the changes, their CRC-32, and
//!                          that of these two, 4 bytes each, little-endian
//! <store>/index.redb       a cache of the layers' records
//! ```
//!
//! Invariant: the files are only renamed, and only after their rows are on the device; one that cannot be read is left as it
//! is, because it is the only place that knows the keys.

use crate::disk::files;
use crate::{Error, Result};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};
use serde::Deserialize;
use serde_json::value::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

const DATABASE: &str = "snapshots.redb";
const LOG: &str = "snapshots.log";
const INDEX: &str = "index.redb";
/// What the names of files end with whose rows were taken over.
const RETIRED: &str = ".taken-over";
const ROWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshots");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// The shapes of rows that were ever written.
const VERSIONS: [u64; 2] = [1, 2];
/// Memory for pages.
const CACHE_BYTES: usize = 4 << 20;
/// Bytes before the changes of a piece of the log.
const PIECE_HEAD_BYTES: usize = 12;

/// What an earlier release left.
#[derive(Debug)]
pub(super) struct Earlier {
    home: PathBuf,
    /// Snapshots as JSON, by key.
    pub(super) rows: BTreeMap<String, String>,
}

/// A change in the log.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Logged {
    Put(Value),
    Delete(String),
}

/// Reads what an earlier release left of a store's snapshots, if it did.
///
/// # Errors
/// [`Error::Corrupt`] when it cannot be read; [`Error::Io`].
pub(super) fn read(home: &Path) -> Result<Option<Earlier>> {
    let path = home.join(DATABASE);
    if !path.exists() {
        // Without a database, a cache of records is all there may be, and it is in nobody's way.
        if let Err(error) = files::remove(&home.join(INDEX)) {
            tracing::debug!(home = %home.display(), %error, "an old index stays");
        }
        return Ok(None);
    }
    let corrupt = |path: &Path, reason: String| Error::Corrupt {
        path: path.to_owned(),
        reason: format!(
            "{reason}; it is of an earlier release, and no layer knows what stands in it: restore it, or move the store's \
             directory away"
        ),
    };
    // The database asserts what it believes of its pages; a damaged file may break that belief.
    let mut rows = catch_unwind(AssertUnwindSafe(|| database(&path)))
        .unwrap_or_else(|_| Err("its pages make no sense".into()))
        .map_err(|reason| corrupt(&path, reason))?;
    let path = home.join(LOG);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error| Error::path("read", &path, error))?,
    };
    let changes = log(&bytes).map_err(|reason| corrupt(&path, reason))?;
    for change in changes {
        match change {
            Logged::Put(row) => {
                let key = row.get("key").and_then(Value::as_str);
                let key = key.ok_or_else(|| corrupt(&path, "a row has no key".into()))?;
                rows.insert(key.to_owned(), row.to_string());
            }
            Logged::Delete(key) => drop(rows.remove(&key)),
        }
    }
    let home = home.to_owned();
    Ok(Some(Earlier { home, rows }))
}

fn database(path: &Path) -> std::result::Result<BTreeMap<String, String>, String> {
    let read = || -> std::result::Result<_, redb::Error> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .open(path)?;
        let read = database.begin_read()?;
        let version = match read.open_table(FACTS) {
            Ok(facts) => facts.get("version")?.map_or(0, |version| version.value()),
            Err(TableError::TableDoesNotExist(_)) => 1,
            Err(error) => return Err(error.into()),
        };
        let mut rows = Vec::new();
        match read.open_table(ROWS) {
            Ok(table) => {
                for row in table.iter()? {
                    let (key, value) = row?;
                    rows.push((key.value().to_owned(), value.value().to_owned()));
                }
            }
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok((version, rows))
    };
    let (version, rows) = read().map_err(|error| error.to_string())?;
    if !VERSIONS.contains(&version) {
        return Err(format!("it has version {version}"));
    }
    let text = |(key, row): (String, Vec<u8>)| Some((key, String::from_utf8(row).ok()?));
    rows.into_iter()
        .map(|row| text(row).ok_or_else(|| "a row is no text".to_owned()))
        .collect()
}

/// The changes of a log in their order. What is not whole at its end was told to no one.
fn log(mut bytes: &[u8]) -> std::result::Result<Vec<Logged>, String> {
    let mut changes = Vec::new();
    let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let damaged = "a piece in its middle is damaged";
    while let Some((head, rest)) = bytes.split_first_chunk::<PIECE_HEAD_BYTES>() {
        let [length, sum, head_sum] = [0, 4, 8].map(|at| {
            let number = head.iter().skip(at).take(4).rev();
            number.fold(0, |number, byte| number << 8 | u32::from(*byte))
        });
        if crc32fast::hash(head.split_at(8).0) != head_sum {
            if is_empty(rest) {
                break;
            }
            return Err(damaged.into());
        }
        let Some((piece, behind)) = rest.split_at_checked(length as usize) else {
            break;
        };
        if crc32fast::hash(piece) != sum {
            if is_empty(behind) {
                break;
            }
            return Err(damaged.into());
        }
        let found: Vec<Logged> =
            serde_json::from_slice(piece).map_err(|error| error.to_string())?;
        changes.extend(found);
        bytes = behind;
    }
    Ok(changes)
}

impl Earlier {
    /// Gives the files other names, so that they are taken over once.
    pub(super) fn retire(self) -> io::Result<()> {
        // The database first: without it, the log is not read again.
        for name in [DATABASE, LOG] {
            let retired = self.home.join(format!("{name}{RETIRED}"));
            match fs::rename(self.home.join(name), retired) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        files::remove(&self.home.join(INDEX))?;
        fs::File::open(&self.home)?.sync_all()
    }
}
