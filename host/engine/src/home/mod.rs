//! The directory of a store, and how layers appear in it and disappear from it.
//!
//! ```text
//! layers/<n>/record.json   what the host knows of a layer: see `record`
//! layers/<n>/d/            the driver's room
//! staging/<random>/        layers that are being made, of the same shape
//! trash/<random>/          layers that are being deleted
//! numbers                  every number from this one on is free
//! index.redb               a cache of the records: see `index`
//! ```
//!
//! Invariant: the records are the truth. A layer exists exactly if it lies in `layers/` with a record that can be
//! read, or is described by a row of a snapshot; publishing and discarding are one rename each.

mod described;
mod index;
mod layout;
mod numbers;
mod publish;
mod reaper;
mod record;
mod recover;
mod stage;
#[cfg(test)]
mod tests;

pub(crate) use described::Described;
pub(crate) use layout::Layout;
pub(crate) use publish::Syncing;
pub(crate) use reaper::Reaper;
pub(crate) use record::Record;
pub(crate) use recover::Recovered;
pub(crate) use stage::StagedLayer;

use crate::settings::Durability;
use index::Index;
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
    index: Index,
    reaper: Arc<Reaper>,
}

impl Home {
    /// Opens a home, makes what is missing of it, and says which layers it has. What lies in staging and trash is
    /// deleted in the background. Layers need no record if someone else describes them.
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
        reaper: &Arc<Reaper>,
        described: Option<&Described>,
    ) -> io::Result<(Arc<Self>, Recovered)> {
        let layout = Arc::new(Layout::open(path)?);
        let (index, rows) = Index::open(&layout.index_path());
        let recovered = recover::reconcile(&layout, &rows, described)?;
        let numbers = Numbers::open(layout.numbers_path(), recovered.highest, durability)?;
        let home = Self {
            layout,
            durability,
            numbers,
            index,
            reaper: Arc::clone(reaper),
        };
        home.catch_up(&rows, &recovered)?;
        Ok((Arc::new(home), recovered))
    }

    /// Where it is, and its open directories.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Waits until the index has everything.
    pub(crate) fn flush(&self) {
        self.index.flush();
    }
}
