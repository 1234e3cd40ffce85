//! Changes of rows that are not in the database yet.
//!
//! A transaction of the database writes pages in several places; a change here is one piece at the end of a file. The
//! database takes the changes over when there are many, and at each start.
//!
//! ```text
//! <store>/snapshots.log   pieces: a head, and changes as JSON; the head is the length of the changes, their CRC-32, and
//!                         that of these two, 4 bytes each, little-endian
//! ```
//!
//! Invariant: a piece is on the device before anyone is told of its changes, so that one that is not whole was told to no
//! one; there is none before another piece.

use super::database::Change;
use super::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// Its name in a store's directory.
pub(super) const NAME: &str = "snapshots.log";
/// Bytes before the changes of a piece.
const HEAD: usize = 12;
/// Bytes from which on the database takes over: some hundred changes, and a start that reads them in a moment.
const LONG: u64 = 512 << 10;

/// A change as it is written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Written<'a> {
    Put(&'a Snapshot),
    Delete(&'a str),
}

/// A change as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Found {
    Put(Box<Snapshot>),
    Delete(String),
}

/// The open file.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Where the next piece goes.
    end: u64,
}

impl Log {
    /// Opens the file, or makes it, and reads the changes in their order.
    ///
    /// # Errors
    /// `InvalidData` for a damaged piece with others behind it: the file is left as it is.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Change>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (changes, end) = parse(&bytes)?;
        let end = end as u64;
        if end < bytes.len() as u64 {
            tracing::info!(path = %path.display(), "the last change was not written to its end: it is none");
            file.set_len(end)?;
            file.sync_data()?;
        }
        Ok((Self { file, end }, changes))
    }

    /// Adds changes as one piece: all are there after a crash, or none.
    pub(super) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let written: Vec<_> = changes
            .iter()
            .map(|change| match change {
                Change::Put(snapshot) => Written::Put(snapshot),
                Change::Delete(key) => Written::Delete(key),
            })
            .collect();
        let body = serde_json::to_vec(&written)?;
        let piece = [head(&body)?.as_slice(), &body].concat();
        self.file.write_all_at(&piece, self.end)?;
        self.file.sync_data()?;
        self.end += piece.len() as u64;
        Ok(())
    }

    /// Whether the database should take the changes over.
    pub(super) fn is_long(&self) -> bool {
        self.end > LONG
    }

    /// Forgets the changes, which the database has now.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if self.end > 0 {
            self.file.set_len(0)?;
            self.file.sync_data()?;
            self.end = 0;
        }
        Ok(())
    }
}

/// Reads pieces, and says where the last whole one ends.
fn parse(bytes: &[u8]) -> io::Result<(Vec<Change>, usize)> {
    let mut changes = Vec::new();
    let mut rest = bytes;
    while let Some((piece, behind)) = next(rest)? {
        let found: Vec<Found> = serde_json::from_slice(piece)?;
        changes.extend(found.into_iter().map(|found| match found {
            Found::Put(snapshot) => Change::Put(Arc::from(snapshot)),
            Found::Delete(key) => Change::Delete(key),
        }));
        rest = behind;
    }
    Ok((changes, bytes.len() - rest.len()))
}

fn head(body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut head = length.to_le_bytes().to_vec();
    head.extend(crc32fast::hash(body).to_le_bytes());
    head.extend(crc32fast::hash(&head).to_le_bytes());
    Ok(head)
}

/// The changes of the first piece and what lies behind it; none when it is not whole and nothing is behind it.
fn next(bytes: &[u8]) -> io::Result<Option<(&[u8], &[u8])>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Ok(None);
    };
    let number = |at: usize| {
        let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let damaged = || {
        let text = "a piece in its middle is damaged";
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    // A file that has got its size and not yet its content ends with zeros.
    let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if crc32fast::hash(head.get(..8).unwrap_or_default()) != number(8) {
        return if is_empty(rest) {
            Ok(None)
        } else {
            Err(damaged())
        };
    }
    let Some((piece, behind)) = rest.split_at_checked(number(0) as usize) else {
        return Ok(None);
    };
    match crc32fast::hash(piece) == number(4) {
        true => Ok(Some((piece, behind))),
        false if is_empty(behind) => Ok(None),
        false => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, SnapshotKind};
    use std::collections::BTreeMap;

    fn put(key: &str) -> Change {
        Change::Put(Arc::new(Snapshot {
            key: key.into(),
            kind: SnapshotKind::Active,
            parent: None,
            layer: None,
            labels: BTreeMap::from([("a".into(), "b".repeat(50))]),
            created: Moment::now(),
            updated: Moment::now(),
            usage: None,
            mapping: None,
            late_parent: false,
            place: None,
        }))
    }

    fn keys(changes: &[Change]) -> Vec<&str> {
        let keys = changes.iter().map(|change| match change {
            Change::Put(snapshot) => snapshot.key.as_str(),
            Change::Delete(key) => key,
        });
        keys.collect()
    }

    #[test]
    fn a_file_that_ends_anywhere_has_the_pieces_before() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        let (mut log, none) = Log::open(&path).unwrap();
        assert!(none.is_empty());
        let mut ends = vec![0];
        for number in 0..3 {
            let key = number.to_string();
            log.append(&[put(&key), Change::Delete("gone".into())])
                .unwrap();
            ends.push(usize::try_from(log.end).unwrap());
        }
        let whole = std::fs::read(&path).unwrap();
        for end in 0..=whole.len() {
            for zeros in [0, 5, 100] {
                let mut cut = whole[..end].to_vec();
                cut.resize(end + zeros, 0);
                std::fs::write(&path, cut).unwrap();
                let (mut log, changes) = Log::open(&path).unwrap();
                let pieces = ends.iter().filter(|piece| **piece <= end).count() - 1;
                assert_eq!(changes.len(), 2 * pieces, "{end}");
                // And goes on behind them.
                log.append(&[put("next")]).unwrap();
                let (_, changes) = Log::open(&path).unwrap();
                assert_eq!(keys(&changes)[2 * pieces..], ["next"], "{end}");
            }
        }
    }

    #[test]
    fn damage_before_other_pieces_is_reported_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        let (mut log, _) = Log::open(&path).unwrap();
        for key in ["a", "b"] {
            log.append(&[put(key)]).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 3, 4, 8, HEAD, HEAD + 20] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let error = Log::open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn what_the_database_has_is_forgotten() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        let (mut log, _) = Log::open(&path).unwrap();
        while !log.is_long() {
            log.append(&[put(&"k".repeat(30_000))]).unwrap();
        }
        log.clear().unwrap();
        log.append(&[put("a")]).unwrap();
        assert_eq!(keys(&Log::open(&path).unwrap().1), ["a"]);
    }
}
