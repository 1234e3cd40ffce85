//! Two trees of a driver's, and what its operations make of their difference.
//!
//! Invariant: the mounts live as long as the directories are read.

use super::{list_changes, measure, write_archive, write_archive_as_moby};
use crate::Result;
use crate::bindings::diff::exports::mica::driver::diff_driver::{ArchiveForm, DiffReport};
use crate::driver::diff_report;
use crate::host::directory::Directory;
use crate::host::mounts::Mount;
use crate::host::streams::{ChangeSink, Sink};
use crate::walk::Sides;

/// What is compared.
#[derive(Debug)]
pub struct Comparison {
    /// The layer.
    pub new: Directory,
    /// What it is compared with; nothing if all of it is told.
    pub old: Option<Directory>,
    /// How the two are read.
    pub sides: Sides,
    /// The mounts in which they lie, if they lie in any.
    pub mounts: Vec<Mount>,
}

impl Comparison {
    /// Writes the difference as an archive: `diff-driver.diff`.
    ///
    /// # Errors
    /// As [`write_archive`].
    pub fn archive(self, form: ArchiveForm, sink: &Sink) -> Result<DiffReport> {
        let write = match form {
            ArchiveForm::Faithful => write_archive,
            ArchiveForm::Moby | ArchiveForm::Rebase => write_archive_as_moby,
        };
        let written = write(self.new, self.old, &self.sides, sink)?;
        Ok(diff_report(written))
    }

    /// Lists the difference: `diff-driver.changes`.
    ///
    /// # Errors
    /// As [`write_archive`].
    pub fn changes(self, sink: &ChangeSink) -> Result<()> {
        list_changes(self.new, self.old, &self.sides, sink)
    }

    /// Sums the difference up: `diff-driver.diff-size`.
    ///
    /// # Errors
    /// As [`write_archive`].
    pub fn size(self) -> Result<u64> {
        measure(self.new, self.old, &self.sides)
    }
}
