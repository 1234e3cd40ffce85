//! Looks at the rows of a store without opening their file, which a daemon may have for itself.
//!
//! The file and its write-ahead log are copied, and the copy is opened. The log is copied first: it is only added to, and what
//! is half written at its end has a wrong checksum, which SQLite leaves out. The file changes only when the log is moved into
//! it, and then the copy is made again.
//!
//! Invariant: nothing of the store is written to or locked.

use super::file::Use;
use super::open::{Judged, NAME, judge};
use super::{Loaded, mark};
use crate::check::{Finding, FindingKind};
use crate::disk::files;
use crate::{Error, Result};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the file is copied again because it changed meanwhile, and after what time.
const RETRY_DELAY: Duration = Duration::from_millis(20);
const MOST_TRIES: u32 = 20;

/// A directory for copies, which goes with its handle.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Makes one where programs keep what is temporary.
    pub(crate) fn new() -> io::Result<Self> {
        let name = format!("mica-check-{}", files::random_name()?);
        let path = std::env::temp_dir().join(name);
        files::make_directory(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is a copy.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// Reads the rows of a store as the next start would.
///
/// # Errors
/// As [`super::Rows::open`]; [`Error::Io`] when the file cannot be copied.
pub(crate) fn look(home: &Path, place: &Place) -> Result<Loaded> {
    let path = home.join(NAME);
    let failed = |error| Error::path("look at", &path, error);
    // Before the copy: a transaction writes the mark last, so the copy has at least what the mark says.
    let marked = mark::look(home).map_err(failed)?;
    let is_there = copy(home, place).map_err(failed)?;
    let copied = place.0.join(NAME);
    if !is_there {
        fs::File::create(&copied).map_err(failed)?;
    }
    let mut loaded = match judge(&path, &copied, marked.unwrap_or(0), Use::Fleeting)? {
        Judged::Whole(_, loaded) => loaded,
        Judged::Damaged(mut loaded, damage) => {
            loaded.findings.push(damage);
            loaded
        }
    };
    let has_rows = is_there && loaded.found.written > 0;
    if marked.is_none() && has_rows {
        let mark = home.join(mark::NAME);
        let detail = format!(
            "`{}` is missing or makes no sense, so an old copy of the rows would not be noticed",
            mark.display()
        );
        let finding = Finding::new(FindingKind::MarkDamaged, detail).at(mark);
        loaded.findings.push(finding);
    }
    Ok(loaded)
}

/// Copies the file and its write-ahead log as they are at one moment; false if there is none.
fn copy(home: &Path, place: &Place) -> io::Result<bool> {
    let (file, log) = (home.join(NAME), home.join(format!("{NAME}-wal")));
    let state = || match fs::metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => {
            found.map(|found| Some((found.ino(), found.len(), found.ctime(), found.ctime_nsec())))
        }
    };
    for _ in 0..MOST_TRIES {
        let before = state()?;
        let copied = place.0.join(format!("{NAME}-wal"));
        files::remove(&copied)?;
        match fs::copy(&log, &copied) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if before.is_none() {
            return Ok(false);
        }
        fs::copy(&file, place.0.join(NAME))?;
        if state()? == before {
            return Ok(true);
        }
        // A checkpoint is over soon.
        std::thread::sleep(RETRY_DELAY);
    }
    Err(io::Error::other("it changes all the time"))
}
