//! How a layer appears and disappears.
//!
//! The order makes a power cut harmless: the record and everything else of the layer are on the device before the
//! rename, and the rename is before anyone is told.
//!
//! Invariant: an error before the rename leaves no trace; a failed sync is not tried again, for the kernel reports
//! lost pages once.

use super::layout::{Area, random_name};
use super::{Home, Record, StagedLayer};
use crate::settings::Durability;
use mica_sys::{Name, filesystem, node};
use std::io;
use std::os::fd::AsFd;

/// When a change of a home has to be on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncing {
    /// Before anyone is told of it.
    Now,
    /// Later, for what someone else writes down describes the layer, and decides whether it counts.
    Later,
}

impl Home {
    /// Makes a staged layer a published one and says under which number.
    pub(crate) fn publish(
        &self,
        mut staged: StagedLayer,
        record: &Record,
        syncing: Syncing,
    ) -> io::Result<u64> {
        let row = match syncing {
            Syncing::Now => Some(self.write_record(&staged, record)?),
            Syncing::Later => None,
        };
        let number = self.numbers.next()?;
        let name = Name::from_number(number);
        let layers = self.layout.area(Area::Layers);
        node::rename(self.layout.area(Area::Staging), &staged.name, layers, &name)?;
        staged.is_published = true;
        if let Err(error) = self.sync_layers(syncing) {
            // No one was told of it: it goes again, and if even that fails the next start finds a whole layer.
            let _gone = self.discard(number, syncing);
            return Err(error);
        }
        if let Some(row) = row {
            self.index.put(number, row);
        }
        Ok(number)
    }

    /// Writes a record, and brings it and everything else of the layer to the device.
    fn write_record(&self, staged: &StagedLayer, record: &Record) -> io::Result<Vec<u8>> {
        let (file, row) = record.write(&self.layout, staged.directory.as_fd())?;
        if self.durability == Durability::Commit {
            filesystem::sync_file(file.as_fd())?;
            filesystem::sync(self.layout.top())?;
        }
        row.to_bytes()
    }

    /// Makes a published layer disappear; its files go in the background.
    pub(crate) fn discard(&self, number: u64, syncing: Syncing) -> io::Result<()> {
        let trashed = random_name()?;
        let trash = self.layout.area(Area::Trash);
        node::rename(
            self.layout.area(Area::Layers),
            &Name::from_number(number),
            trash,
            &trashed,
        )?;
        if syncing == Syncing::Now {
            self.index.delete(number);
        }
        self.layout.detach_image(Area::Trash, &trashed);
        self.reaper.delete(&self.layout, Area::Trash, trashed);
        self.sync_layers(syncing)
    }

    fn sync_layers(&self, syncing: Syncing) -> io::Result<()> {
        match (self.durability, syncing) {
            (Durability::Commit, Syncing::Now) => {
                filesystem::sync_file(self.layout.area(Area::Layers))
            }
            (Durability::Commit, Syncing::Later) | (Durability::None, _) => Ok(()),
        }
    }
}
