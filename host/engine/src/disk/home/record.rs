//! What the host knows of a layer, as it lies in `record.json`.
//!
//! The record of a snapshot's layer also holds the snapshot, for the day on which the rows are lost. It is written before the
//! row and brought to the device with the layer's files, so while there is a row, that counts.
//!
//! Nothing else knows the layers that are no snapshots' when rows are lost, so their records are written twice.
//!
//! Invariant: what replaces a layer has a number of its own and a higher revision; a record is never changed, but that of a
//! snapshot's layer may have a later one beside it.

use super::Layout;
use crate::disk::files;
use crate::{LayerId, Moment, words};
use mica_runtime::LayerKind;
use mica_sys::Name;
use mica_sys::node::{self, Attributes};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// The shape of the file; a reader refuses what it does not know.
const VERSION: u32 = 1;

/// A record as the index keeps it, with what tells whether the file is still the one that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(super) stamp: Stamp,
    pub(super) record: Record,
}

/// Which file a record was read from. Only the kernel sets these numbers, and it does at each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: u32,
}

impl Stamp {
    pub(super) fn new(file: &Attributes) -> Self {
        let (seconds, nanoseconds) = (file.changed.seconds, file.changed.nanoseconds);
        Self {
            inode: file.inode,
            size: file.size,
            seconds,
            nanoseconds,
        }
    }
}

impl Row {
    /// Whether it was read from this file as it is now.
    pub(super) fn is_of(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp
    }

    pub(super) fn to_text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads a row; one of another shape is none.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let row: Self = serde_json::from_str(text).ok()?;
        (row.record.version == VERSION).then_some(row)
    }
}

/// What the host knows of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The id.
    pub(crate) id: LayerId,
    /// The layer below.
    pub(crate) parent: Option<LayerId>,
    /// What it was created for.
    #[serde(with = "words::kind")]
    pub(crate) kind: LayerKind,
    /// When it was published first.
    pub(crate) created: Moment,
    /// The driver that made it.
    pub(crate) driver: String,
    /// How often its content was replaced; of two layers with one id the higher is the newer.
    pub(crate) revision: u64,
    /// What else it is needed for than for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) purpose: Option<Purpose>,
}

/// What a layer is needed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Purpose {
    /// A snapshot.
    Snapshot {
        /// The number of the last transaction of the rows when this was written.
        written: u64,
        /// The snapshot as JSON.
        row: serde_json::Value,
    },
    /// Nothing that lasts, or nothing any more: whoever asked for it was refused, or has what it was made to find out.
    Nothing,
}

impl Record {
    /// The record of a new layer.
    pub(crate) fn new(id: LayerId, parent: Option<LayerId>, kind: LayerKind, driver: &str) -> Self {
        let created = Moment::now();
        Self {
            version: VERSION,
            id,
            parent,
            kind,
            created,
            driver: driver.to_owned(),
            revision: 0,
            purpose: None,
        }
    }

    /// The same with what it is needed for.
    pub(crate) fn for_purpose(self, purpose: Option<Purpose>) -> Self {
        Self { purpose, ..self }
    }

    /// The record of a layer that was described elsewhere.
    pub(crate) fn described(
        id: LayerId,
        parent: Option<LayerId>,
        kind: LayerKind,
        created: Moment,
        driver: &str,
    ) -> Self {
        Self {
            created,
            ..Self::new(id, parent, kind, driver)
        }
    }

    /// Whether it was written after the row of this layer's snapshot that a transaction of this number wrote.
    pub(super) fn is_newer(&self, id: &LayerId, row: u64) -> bool {
        match &self.purpose {
            Some(Purpose::Snapshot { written, .. }) => self.id == *id && *written >= row,
            _ => false,
        }
    }

    /// The record of what takes the layer's place.
    pub(crate) fn next_revision(self) -> Self {
        Self {
            revision: self.revision.saturating_add(1),
            ..self
        }
    }

    /// The record of the same layer on another parent.
    pub(crate) fn with_parent(self, parent: Option<LayerId>) -> Self {
        Self { parent, ..self }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        files::check_sum(bytes)?;
        let record: Self = serde_json::from_slice(bytes)?;
        if record.version != VERSION {
            let text = format!(
                "the record has version {}, this program reads {VERSION}",
                record.version
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(record)
    }

    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(files::with_sum(&bytes))
    }

    /// Reads the record of a layer's open directory: of a snapshot's layer the later one, if it can be read.
    pub(super) fn read(layout: &Layout, layer: BorrowedFd<'_>) -> io::Result<Row> {
        let first = Self::read_named(&layout.record, layer)?;
        // Only snapshots are written twice; for all others one file less is opened.
        if first.record.purpose.is_none() {
            return Ok(first);
        }
        let later = Self::read_later(layout, layer).ok();
        // A later record that a kill cut off, or one of another layer, leaves the first, which is whole.
        let later = later.filter(|later| later.record.id == first.record.id);
        Ok(later.unwrap_or(first))
    }

    /// Reads the later record of a layer's open directory, which alone says as much as both.
    pub(super) fn read_later(layout: &Layout, layer: BorrowedFd<'_>) -> io::Result<Row> {
        Self::read_named(&layout.later_record, layer)
    }

    /// The records of a layer's open directory that are there and cannot be read, each with the reason; and the first, if it
    /// is missing.
    pub(super) fn find_damaged(layout: &Layout, layer: BorrowedFd<'_>) -> Vec<(Name, io::Error)> {
        let names = [&layout.record, &layout.later_record];
        let damaged = names.into_iter().filter_map(|name| {
            let error = Self::read_named(name, layer).err()?;
            let is_optional = name == &layout.later_record;
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            (!(is_optional && is_missing)).then(|| (name.clone(), error))
        });
        damaged.collect()
    }

    fn read_named(name: &Name, layer: BorrowedFd<'_>) -> io::Result<Row> {
        let file = node::open_regular(layer, name)?;
        let stamp = Stamp::new(&node::stat_fd(file.as_fd())?);
        let record = Self::from_bytes(&files::read_open(File::from(file))?)?;
        Ok(Row { stamp, record })
    }

    /// Reads what the record was of a layer that was given up: it is needed for nothing.
    pub(super) fn read_given_up(layout: &Layout, layer: BorrowedFd<'_>) -> io::Result<Self> {
        let file = node::open_regular(layer, &layout.given_up)?;
        let record = Self::from_bytes(&files::read_open(File::from(file))?)?;
        Ok(record.for_purpose(Some(Purpose::Nothing)))
    }

    /// Writes the record into a layer's open directory, where none of the name may be.
    pub(super) fn write(&self, name: &Name, layer: BorrowedFd<'_>) -> io::Result<Row> {
        let mut file = File::from(node::create_regular(layer, name, 0o600)?);
        file.write_all(&self.to_bytes()?)?;
        let stamp = Stamp::new(&node::stat_fd(file.as_fd())?);
        let record = self.clone();
        Ok(Row { stamp, record })
    }
}
