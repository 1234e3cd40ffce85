//! How a layer appears and disappears.
//!
//! The order makes a power cut harmless: the record and everything else of the layer are on the device before the
//! rename, and the rename is before anyone is told.
//!
//! Invariant: an error before the rename leaves no trace; a failed sync is not tried again, for the kernel reports
//! lost pages once.

use super::layout::{Area, random_name};
use super::{Home, Record, StagedLayer};
use crate::disk::rows::RowChange;
use crate::settings::Durability;
use mica_sys::{Name, filesystem, node};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// When a change of a home has to be on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncing {
    /// Before anyone is told of it.
    Now,
    /// Later, for what someone else writes down describes the layer, and decides whether it counts.
    Later,
    /// The same, and nobody waits for that either: whoever asked makes another one, should a power cut take it.
    Unwaited,
}

/// The mode of a layer's directory that nobody has waited for. It is changed before the directory gets its name, and a journal
/// keeps that order, so a name that a power cut left without content can be told from one that is damaged.
const UNWAITED: u32 = 0o1700;
/// The mode of any other.
const WAITED: u32 = 0o700;

impl Home {
    /// Makes a staged layer a published one and says under which number.
    pub(crate) fn publish(
        &self,
        mut staged: StagedLayer,
        record: &Record,
        syncing: Syncing,
    ) -> io::Result<u64> {
        if syncing == Syncing::Unwaited {
            node::set_mode_fd(staged.directory.as_fd(), UNWAITED)?;
        }
        let row = self.write_record(&staged, record, syncing)?;
        let number = self.numbers.next()?;
        let name = Name::from_number(number);
        let layers = self.layout.area(Area::Layers);
        // The moment at which the layer appears. Until then its handle deletes it, from then on only a discard does.
        node::rename(self.layout.area(Area::Staging), &staged.name, layers, &name)?;
        staged.is_published = true;
        if let Err(error) = self.sync_layers(syncing) {
            // No one was told of it: it goes again, and if even that fails the next start finds a whole layer.
            let _gone = self.discard(number, Syncing::Later);
            return Err(error);
        }
        // Only a cache of the record, so nobody waits for it; a snapshot has a row of its own.
        if syncing == Syncing::Now {
            self.rows.note(RowChange::PutLayer(number, row));
        }
        Ok(number)
    }

    /// Writes a record, and brings it and everything else of the layer to the device unless that is done later.
    fn write_record(
        &self,
        staged: &StagedLayer,
        record: &Record,
        syncing: Syncing,
    ) -> io::Result<String> {
        let layer = staged.directory.as_fd();
        let row = record.write(&self.layout.record, layer)?;
        // What a row says already, nobody else has to know. Others are written twice, because their rows are made later.
        if syncing == Syncing::Now {
            record.write(&self.layout.later_record, layer)?;
        }
        if let (Durability::Commit, Syncing::Now) = (self.durability, syncing) {
            self.sync()?;
        }
        row.to_text()
    }

    /// Writes a further record of a published layer. The first one stays beside it, so that a power cut loses the newer one at
    /// most; a file that is renamed over another one would be written to the device at once, which delays the next sync.
    pub(crate) fn replace_record(&self, number: u64, record: &Record) -> io::Result<()> {
        let layers = self.layout.area(Area::Layers);
        let layer = node::open_directory(layers, &Name::from_number(number))?;
        let layer = layer.as_fd();
        for name in [&self.layout.record, &self.layout.later_record] {
            match record.write(name, layer) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                written => return written.map(drop),
            }
        }
        let new = &self.layout.new_record;
        match node::remove_file(layer, new) {
            // A kill left one that is not whole.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        record.write(new, layer)?;
        node::replace(layer, new, &self.layout.later_record)
    }

    /// Marks a published layer as one that nobody needs: should it still be there after the next start, it is removed.
    pub(crate) fn give_up(&self, number: u64) -> io::Result<()> {
        let layers = self.layout.area(Area::Layers);
        let layer = node::open_directory(layers, &Name::from_number(number))?;
        node::replace(layer.as_fd(), &self.layout.record, &self.layout.given_up)
    }

    /// Gives a published layer the room of a staged one, whose files are on the device by then; what the layer had goes.
    pub(crate) fn exchange(&self, staged: StagedLayer, number: u64) -> io::Result<()> {
        let layer = self.layout.open_layer(number)?;
        take_mark(layer.as_fd())?;
        if self.durability == Durability::Commit {
            self.sync()?;
        }
        self.exchange_rooms(&staged, layer.as_fd())
    }

    /// Has a published layer count whatever happens, once the device has what its directory and its row are now.
    pub(crate) fn keep(&self, number: u64) -> io::Result<()> {
        take_mark(self.layout.open_layer(number)?.as_fd())
    }

    /// Gives a published layer the room of a staged one, whose files are on the device already, and its digests.
    pub(crate) fn exchange_made(&self, staged: StagedLayer, number: u64) -> io::Result<()> {
        let layer = self.layout.open_layer(number)?;
        self.exchange_rooms(&staged, layer.as_fd())?;
        let digests = &self.layout.digests;
        let moved = node::rename(staged.directory.as_fd(), digests, layer.as_fd(), digests);
        if let Err(error) = moved {
            // The layer is whole all the same, and gets others.
            tracing::warn!(number, %error, "a layer that was made again has no digests yet");
        }
        Ok(())
    }

    fn exchange_rooms(&self, staged: &StagedLayer, layer: BorrowedFd<'_>) -> io::Result<()> {
        let (staging, room) = (staged.directory.as_fd(), &self.layout.room);
        // RENAME_EXCHANGE: there is never a moment without a room, as there would be between two renames.
        let exchange = || node::exchange(staging, room, layer, room);
        exchange()?;
        if self.durability == Durability::Commit
            && let Err(error) = filesystem::sync_file(layer)
        {
            // No one was told of it, so it is undone; if even that fails, the layer is whole all the same.
            let _undone = exchange();
            return Err(error);
        }
        Ok(())
    }

    /// Makes a published layer disappear; its files go in the background.
    pub(crate) fn discard(&self, number: u64, syncing: Syncing) -> io::Result<()> {
        let gone = match syncing {
            Syncing::Now => RowChange::DropLayer(number),
            Syncing::Later | Syncing::Unwaited => RowChange::DropRemoval(number),
        };
        self.move_away(number, syncing, gone)
    }

    /// Makes a published layer disappear that a newer revision has replaced, on the device: should this one come back after a
    /// power cut, the next start deletes it, so nobody waits.
    pub(crate) fn discard_replaced(&self, number: u64) -> io::Result<()> {
        self.move_away(number, Syncing::Later, RowChange::DropLayer(number))
    }

    fn move_away(&self, number: u64, syncing: Syncing, gone: RowChange) -> io::Result<()> {
        let trashed = random_name()?;
        let trash = self.layout.area(Area::Trash);
        let (layers, layer) = (self.layout.area(Area::Layers), Name::from_number(number));
        let move_away = || node::rename(layers, &layer, trash, &trashed);
        match (move_away(), self.rows.reserve()) {
            // The trash needs a block more for the name.
            (Err(error), Some(reserve)) if error.kind() == io::ErrorKind::StorageFull => {
                reserve.lend(move_away)?;
            }
            (moved, _) => moved?,
        }
        if let Err(error) = self.sync_layers(syncing) {
            // It comes back, so that the layer is as it was, whatever is on the device.
            node::rename(trash, &trashed, layers, &layer)?;
            return Err(error);
        }
        self.rows.note(gone);
        self.layout.detach_image(Area::Trash, &trashed);
        self.reaper.delete(&self.layout, Area::Trash, trashed);
        Ok(())
    }

    fn sync_layers(&self, syncing: Syncing) -> io::Result<()> {
        match (self.durability, syncing) {
            (Durability::Commit, Syncing::Now) => {
                filesystem::sync_file(self.layout.area(Area::Layers))
            }
            (Durability::Commit, Syncing::Later | Syncing::Unwaited) | (Durability::None, _) => {
                Ok(())
            }
        }
    }
}

/// Whether nobody has waited for a layer with this open directory.
pub(super) fn is_unwaited(layer: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(node::stat_fd(layer)?.mode & 0o7777 == UNWAITED)
}

/// Takes the mark of a layer that nobody has waited for.
fn take_mark(layer: BorrowedFd<'_>) -> io::Result<()> {
    match is_unwaited(layer)? {
        true => node::set_mode_fd(layer, WAITED),
        false => Ok(()),
    }
}
