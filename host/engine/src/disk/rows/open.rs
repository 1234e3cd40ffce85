//! Opens the rows of a store, whatever became of their file.
//!
//! | file | becomes |
//! |---|---|
//! | missing, and there were never any | a new one |
//! | whole | itself |
//! | missing or empty, though there were some | a new one; the layers' records tell the rest |
//! | damaged as a whole, in a page or in a row | set aside; what can be read goes into a new one |
//! | whole, but older than `rows.mark` | itself; records that are newer than their rows count |
//! | of a later release or another program | refused, and left alone |
//!
//! Invariant: a file that is damaged is kept as it was found.

use super::earlier::{self, Earlier};
use super::file::{RowFile, Unusable, Unwritten, Use};
use super::mark::Mark;
use super::write::told;
use super::{Found, Loaded, RowChange, Rows, Unwaited};
use crate::check::{Finding, FindingKind};
use crate::disk::files;
use crate::disk::group::Group;
use crate::settings::Durability;
use crate::{Error, Result};
use mica_sys::Name;
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// Its name in a store's directory.
pub(super) const NAME: &str = "rows.sqlite";
/// The name of its write-ahead log.
const LOG: &[u8] = b"rows.sqlite-wal";

impl Rows {
    /// Opens the rows of a store, and makes their file if it is missing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a file of a later release; [`Error::NoSpace`], [`Error::Io`].
    pub(crate) fn open(home: &Path, durability: Durability) -> Result<(Arc<Self>, Loaded)> {
        let path = home.join(NAME);
        let write = |error| Error::path("open", &path, error);
        let layers = home.join("layers");
        files::make_directory(&layers).map_err(write)?;
        let layers = files::open_directory(&layers).map_err(write)?;
        let directory = files::open_directory(home).map_err(write)?;
        let log = Name::new(LOG).map_err(|error| write(io::Error::other(error)))?;
        let (mark, marked) = Mark::open(home).map_err(write)?;
        let earlier = earlier::read(home)?;
        let use_as = match durability {
            Durability::Commit => Use::Durable,
            Durability::None => Use::Fleeting,
        };
        let (mut file, mut loaded) = open_file(&path, marked.unwrap_or(0), use_as)?;
        if let Some(earlier) = earlier {
            take_over(&mut file, &path, earlier, &mut loaded)?;
        }
        file.written = file.written.max(marked.unwrap_or(0));
        if marked.is_none() && file.written > 0 {
            mark.set(file.written);
        }
        let rows = Self {
            path,
            home: directory,
            layers,
            log,
            durability,
            written: AtomicU64::new(file.written),
            file: Mutex::new(file),
            group: Group::default(),
            later: Mutex::default(),
            facts: Mutex::new(std::mem::take(&mut loaded.found.facts)),
            mark,
            reserve: OnceLock::new(),
            unwaited: Unwaited::default(),
            refusal: OnceLock::new(),
        };
        Ok((Arc::new(rows), loaded))
    }
}

fn open_file(path: &Path, marked: u64, use_as: Use) -> Result<(RowFile, Loaded)> {
    let made = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let use_as = match made {
        // Whoever only looks at a store on a read-only file system gets its rows all the same.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Use::ReadOnly,
        made => made
            .map(|_| use_as)
            .map_err(|error| Error::path("make", path, error))?,
    };
    let (mut loaded, mut damage) = match judge(path, path, marked, use_as)? {
        Judged::Whole(file, loaded) => return Ok((file, loaded)),
        Judged::Damaged(loaded, damage) => (loaded, damage),
    };
    let kept = set_aside(path).map_err(|error| Error::path("set aside", path, error))?;
    damage
        .detail
        .push_str(&format!("; it is kept as `{}`", kept.display()));
    loaded.findings.push(damage);
    let mut file = made_anew(path, use_as)?;
    file.written = loaded.found.written;
    let rows = loaded.found.snapshots.iter();
    let rows = rows.map(|(key, row)| RowChange::PutSnapshot(key.clone(), row.text.clone()));
    let removals = loaded.found.removals.iter();
    let removals = removals.map(|(number, layer)| RowChange::PutRemoval(*number, layer.clone()));
    // The record of a layer may be damaged, and its row all that is known of it.
    let layers = loaded.found.layers.iter();
    let layers = layers.map(|(number, row)| RowChange::PutLayer(*number, row.clone()));
    write(
        &mut file,
        path,
        rows.chain(removals).chain(layers).collect(),
    )?;
    Ok((file, loaded))
}

/// What became of a file of rows.
pub(super) enum Judged {
    /// It can be used; older than the layers, it comes with that finding.
    Whole(RowFile, Loaded),
    /// It cannot, and is closed. What can be read of it, and what is wrong.
    Damaged(Loaded, Finding),
}

/// Reads a file, or a copy of it. `marked` is the number of the last transaction.
///
/// # Errors
/// As [`Rows::open`]; nothing is to be done then, because an error of the disk may pass.
pub(super) fn judge(path: &Path, copy: &Path, marked: u64, use_as: Use) -> Result<Judged> {
    let mut loaded = Loaded::default();
    let reason = match try_open(copy, use_as) {
        Ok((file, found)) if found.unreadable + found.damaged == 0 => {
            loaded.is_behind = found.written < marked;
            if loaded.is_behind {
                loaded.findings.push(behind(path, found.written, marked));
            }
            loaded.found = found;
            return Ok(Judged::Whole(file, loaded));
        }
        Ok((file, found)) => {
            // SQLite must have closed the file before anyone renames it.
            drop(file);
            let text = format!(
                "{} rows and {} tables of it are not what was written",
                found.damaged, found.unreadable
            );
            loaded.found = found;
            text
        }
        Err(Unusable::Damaged(reason)) => reason,
        Err(other) => return Err(explained(path, other)),
    };
    loaded.is_behind = true;
    let detail = format!(
        "`{}` is damaged ({reason}); {} snapshots of it could be read, others are taken from the records of their layers, and \
         views of snapshots that have no layer are lost",
        path.display(),
        loaded.found.snapshots.len()
    );
    let damage = Finding::new(FindingKind::RowsDamaged, detail).at(path);
    Ok(Judged::Damaged(loaded, damage))
}

/// Opens a file and reads it; one that has no tables gets them.
fn try_open(path: &Path, use_as: Use) -> std::result::Result<(RowFile, Found), Unusable> {
    let mut file = RowFile::open(path, use_as)?;
    if use_as != Use::ReadOnly && !file.is_made()? {
        file.prepare()?;
    }
    // Read whatever the check says: what can be read of a damaged file goes into the new one.
    let checked = file.check();
    let mut found = file.read();
    match checked {
        Err(Unusable::Damaged(reason)) => {
            tracing::warn!(path = %path.display(), reason, "the rows are damaged");
            found.unreadable += 1;
        }
        checked => checked?,
    }
    Ok((file, found))
}

fn made_anew(path: &Path, use_as: Use) -> Result<RowFile> {
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map_err(|error| Error::path("make", path, error))?;
    let opened = try_open(path, use_as);
    opened
        .map(|(file, _)| file)
        .map_err(|unusable| explained(path, unusable))
}

fn behind(path: &Path, written: u64, marked: u64) -> Finding {
    let shown = path.display();
    let (kind, detail) = match written {
        0 => (
            FindingKind::RowsLost,
            format!(
                "the rows in `{shown}` are lost; snapshots are taken from the records of their layers, and views of snapshots that \
                 have no layer are lost"
            ),
        ),
        written => (
            FindingKind::RowsBehind,
            format!(
                "`{shown}` is older than the layers: it ends with transaction {written}, and {marked} were made; newer records of \
                 layers count"
            ),
        ),
    };
    Finding::new(kind, detail).at(path)
}

fn explained(path: &Path, unusable: Unusable) -> Error {
    match unusable {
        Unusable::Damaged(reason) | Unusable::Strange(reason) => Error::Corrupt {
            path: path.to_owned(),
            reason,
        },
        Unusable::Failed(error) => Error::path("open", path, told(error)),
    }
}

/// Renames the file and its write-ahead log.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let kept = files::keep_damaged(path)?;
    // The log goes with its file. Left here, it would be replayed into the new one.
    let beside = |path: &Path| {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        PathBuf::from(log)
    };
    match fs::rename(beside(path), beside(&kept)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(kept),
    }
}

fn take_over(file: &mut RowFile, path: &Path, earlier: Earlier, loaded: &mut Loaded) -> Result<()> {
    let rows = earlier.rows.iter();
    let rows = rows.map(|(key, row)| RowChange::PutSnapshot(key.clone(), row.clone()));
    write(file, path, rows.collect())?;
    let count = earlier.rows.len();
    for (key, text) in earlier.rows.clone() {
        let written = file.written;
        let row = super::StoredRow { text, written };
        loaded.found.snapshots.insert(key, row);
    }
    loaded.is_taken_over = true;
    earlier
        .retire()
        .map_err(|error| Error::path("rename files beside", path, error))?;
    tracing::info!(path = %path.display(), count, "took over the snapshots of an earlier release");
    Ok(())
}

fn write(file: &mut RowFile, path: &Path, changes: Vec<RowChange>) -> Result<()> {
    let written = file.write(changes.iter(), true);
    written.map_err(|unwritten| match unwritten {
        Unwritten::Undone(error) | Unwritten::Unknown(error) => {
            Error::path("write", path, told(error))
        }
    })
}
