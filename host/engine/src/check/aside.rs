//! What is set aside: it is in nobody's way, and nothing of it is lost.
//!
//! ```text
//! <root>/set-aside/<n>/note.json   what it was, where it was, and why it is here
//! <root>/set-aside/<n>/<name>      the file or directory itself, under the name that it had
//! ```
//!
//! Invariant: nothing here is ever deleted or changed; the note is on the device before the node is moved.

use super::Finding;
use crate::Moment;
use crate::disk::files;
use crate::settings::Durability;
use serde_json::json;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Its name in the root directory.
const DIRECTORY: &str = "set-aside";
const NOTE: &str = "note.json";

/// The area of what is set aside.
#[derive(Debug)]
pub(super) struct Aside(PathBuf);

impl Aside {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.join(DIRECTORY))
    }

    /// How many things there are.
    pub(super) fn count(&self) -> u64 {
        self.numbers().count() as u64
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// Moves a node here. Says where it is then.
    ///
    /// # Errors
    /// What the kernel says: `CrossesDevices` for what lies on another file system than the root.
    pub(super) fn take(&self, path: &Path, finding: &Finding) -> io::Result<PathBuf> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let number = self.numbers().max().unwrap_or(0) + 1;
        let directory = self.0.join(number.to_string());
        files::make_directory(&directory)?;
        let to = match name == NOTE {
            true => directory.join(format!("{NOTE}.1")),
            false => directory.join(name),
        };
        let note = json!({
            "was": path.display().to_string(),
            "is": to.display().to_string(),
            "when": Moment::now(),
            "finding": finding,
            "back": "while Mica does not run, move it to where it was",
        });
        let moved = serde_json::to_vec_pretty(&note)
            .map_err(io::Error::from)
            .and_then(|note| files::replace(&directory.join(NOTE), &note, Durability::Commit))
            .and_then(|()| fs::rename(path, &to));
        if let Err(error) = moved {
            // Nothing came, so the note is about nothing.
            let _removed = files::remove(&directory.join(NOTE));
            let _removed = fs::remove_dir(&directory);
            return Err(error);
        }
        for changed in [Some(&*directory), path.parent()].into_iter().flatten() {
            fs::File::open(changed)?.sync_all()?;
        }
        Ok(to)
    }
}
