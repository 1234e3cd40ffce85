//! The directory of a store, and how layers appear in it and disappear from it.
//!
//! ```text
//! layers/<n>/record.json   what the host knows of a layer: see `record`
//! layers/<n>/record-2.json what it knows since a snapshot is committed; of other layers, the same again
//! layers/<n>/digests       what is in the room's files, once that was taken: see [`crate::scrub`]
//! layers/<n>/origin.json   the blob that it was unpacked from: see `origin`
//! layers/<n>/d/            the driver's room
//! staging/<random>/        layers that are being made, of the same shape
//! trash/<random>/          layers that are being deleted
//! numbers                  every number from this one on is free
//! rows.sqlite              a cache of the records, and the rows of snapshots: see [`crate::disk::rows`]
//! ```
//!
//! Invariant: the records are the truth. A layer exists exactly if it lies in `layers/` with a record that can be
//! read, or is described by a row; publishing and discarding are one rename each.

mod described;
mod digests;
mod layout;
mod numbers;
mod origin;
mod publish;
mod reaper;
mod record;
mod recover;
mod stage;
#[cfg(test)]
mod tests;

pub(crate) use described::Described;
pub(crate) use digests::MOST_DIGEST_BYTES;
pub(crate) use layout::{AREAS, Layout};
pub(crate) use numbers::look as look_at_numbers;
pub use origin::BlobOrigin;
pub(crate) use origin::LayerOrigin;
pub(crate) use publish::Syncing;
pub(crate) use reaper::Reaper;
pub(crate) use record::{Purpose, Record, Row};
pub(crate) use recover::{Recovered, find_damaged_records, reconcile};
pub(crate) use stage::StagedLayer;

use crate::disk::group::Group;
use crate::disk::rows::Rows;
use crate::settings::Durability;
use mica_sys::filesystem;
use numbers::Numbers;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open home.
#[derive(Debug)]
pub(crate) struct Home {
    layout: Arc<Layout>,
    durability: Durability,
    numbers: Numbers,
    rows: Arc<Rows>,
    reaper: Arc<Reaper>,
    /// Syncs of the whole file system.
    syncs: Group<(), Result<(), SyncError>>,
}

/// The kernel's answer to a sync that many waited for.
type SyncError = (io::ErrorKind, String);

impl Home {
    /// Opens a home, makes what is missing of it, and says which layers it has. What lies in staging and trash is
    /// deleted in the background. What rows say of layers counts before their records.
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
        reaper: &Arc<Reaper>,
        rows: &Arc<Rows>,
        described: &Described,
    ) -> io::Result<(Arc<Self>, Recovered)> {
        let layout = Arc::new(Layout::open(path)?);
        if let Some(reserve) = rows.reserve() {
            // The layout is new.
            let _first = layout.reserve.set(Arc::clone(reserve));
        }
        let recovered = reconcile(&layout, described)?;
        let numbers = Numbers::open(layout.numbers_path(), recovered.highest, durability)?;
        let home = Self {
            layout,
            durability,
            numbers,
            rows: Arc::clone(rows),
            reaper: Arc::clone(reaper),
            syncs: Group::default(),
        };
        home.catch_up(described, &recovered)?;
        Ok((Arc::new(home), recovered))
    }

    /// Where it is, and its open directories.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The rows of its layers and snapshots.
    pub(crate) fn rows(&self) -> &Arc<Rows> {
        &self.rows
    }

    /// Brings everything on its file system to the device. Callers at once share a sync.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let sync = |all: Vec<()>| {
            let synced = self
                .rows
                .during_sync(|| filesystem::sync(self.layout.top()));
            vec![synced.map_err(|error| (error.kind(), error.to_string())); all.len()]
        };
        let synced = self.syncs.run((), sync);
        synced.map_err(|(kind, text)| io::Error::new(kind, text))
    }
}
