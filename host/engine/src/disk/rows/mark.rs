//! The number of the last transaction, beside the file of rows.
//!
//! It is not brought to the device: after a power cut it may be too low, which says nothing. A file of rows with a lower
//! number is an old copy, or has lost its write-ahead log.
//!
//! Invariant: never higher than what was committed.

use crate::disk::files;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Its name in a store's directory.
pub(super) const NAME: &str = "rows.mark";

/// Reads the number in the file: none if it is missing or makes no sense.
pub(super) fn look(home: &Path) -> io::Result<Option<u64>> {
    match File::open(home.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => read(&mut opened?),
    }
}

fn read(file: &mut File) -> io::Result<Option<u64>> {
    let mut text = Vec::new();
    file.take(64).read_to_end(&mut text)?;
    Ok(files::to_number(&text))
}

/// The open file.
#[derive(Debug)]
pub(super) struct Mark(Option<File>);

impl Mark {
    /// Opens the file, or makes it, and reads the number: none if there is none to be read.
    pub(super) fn open(home: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let path = home.join(NAME);
        let (mut file, is_writable) = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                (File::open(&path)?, false)
            }
            opened => (opened?, true),
        };
        let number = read(&mut file)?;
        Ok((Self(is_writable.then_some(file)), number))
    }

    /// Writes the number down.
    pub(super) fn set(&self, number: u64) {
        let text = files::of_number(number);
        if let Some(file) = &self.0
            && let Err(error) = file.write_all_at(text.as_bytes(), 0)
        {
            tracing::warn!(%error, "an old copy of the rows would not be noticed");
        }
    }
}
