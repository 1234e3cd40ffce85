//! The layers of a store: what is on disk and what is known of it, kept in step.
//!
//! Invariant: a layer is in the table exactly while it lies in the home. Who may change which layer, the locks of
//! the store decide, not this.

use super::watched::{Watch, Watched};
use super::{Entry, Table};
use crate::check::{Finding, FindingKind};
use crate::disk::home::{Described, Home, Layout, Reaper, Record, Recovered, StagedLayer, Syncing};
use crate::disk::rows::Rows;
use crate::settings::Durability;
use crate::{Error, LayerId, Result};
use mica_runtime::{Failure, Feature, Support};
use mica_sys::btrfs::{self, Quota};
use mica_sys::{Name, filesystem};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The layers of a store, with what a driver is told of the store.
#[derive(Debug)]
pub(crate) struct LayerSet {
    /// The store's name.
    pub(crate) store: String,
    /// The store's driver.
    pub(crate) driver: String,
    /// The driver's options.
    pub(crate) options: Arc<[(String, String)]>,
    home: Arc<Home>,
    table: Mutex<Table>,
    watched: Arc<Watched>,
    probes: Mutex<Vec<(Feature, Support)>>,
}

/// Whose layers are opened.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) store: String,
    pub(crate) driver: String,
    pub(crate) options: Vec<(String, String)>,
}

impl LayerSet {
    /// Opens a home without layers that goes again soon, so that nothing of it has to be on the device.
    pub(crate) fn open_scratch(
        owner: Owner,
        path: &Path,
        reaper: &Arc<Reaper>,
    ) -> Result<Arc<Self>> {
        let durability = Durability::None;
        let (rows, _) = Rows::open(path, durability)?;
        let described = Described::default();
        let opened = Self::open(owner, path, durability, reaper, (&rows, &described))?;
        Ok(opened.0)
    }

    /// Opens a home, with its rows and what they say of its layers. What is wrong with it comes back as well: directories that
    /// are no layers, damaged records, and layers whose parent is lost.
    pub(crate) fn open(
        owner: Owner,
        path: &Path,
        durability: Durability,
        reaper: &Arc<Reaper>,
        (rows, described): (&Arc<Rows>, &Described),
    ) -> Result<(Arc<Self>, Vec<Finding>)> {
        let opened = Home::open(path, durability, reaper, rows, described)
            .map_err(|error| Error::path("open home", path, error))?;
        let (
            home,
            Recovered {
                layers,
                mut findings,
                unseen,
                ..
            },
        ) = opened;
        let table = Table::load(layers).with_unseen(unseen);
        findings.extend(table.find_orphans());
        findings.extend(find_lost(home.layout(), &table));
        let layout = home.layout();
        if is_btrfs(layout) && btrfs::quota(layout.top()).is_ok_and(|quota| quota == Quota::Simple)
        {
            // Of layers whose content was still being deleted when the last daemon ended.
            let _left = btrfs::remove_stale_groups(layout.top());
        }
        let set = Self {
            store: owner.store,
            driver: owner.driver,
            options: owner.options.into(),
            home,
            table: Mutex::new(table),
            watched: Arc::default(),
            probes: Mutex::default(),
        };
        Ok((Arc::new(set), findings))
    }

    /// The table, for a short look.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// The home.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The path of a layer's room.
    pub(crate) fn room_path(&self, number: u64) -> PathBuf {
        self.home.layout().room_path(number)
    }

    /// Opens the room of a layer; `None` when there is no such layer.
    pub(crate) fn open_room(&self, id: &str) -> io::Result<Option<OwnedFd>> {
        let number = self.table().get(id).map(|entry| entry.number);
        number.map(|number| self.open_whole(number)).transpose()
    }

    /// Opens the room of a layer that has lost none of its subvolumes.
    ///
    /// # Errors
    /// What opening says; `Other`, which names the subvolume and what to do.
    pub(crate) fn open_whole(&self, number: u64) -> io::Result<OwnedFd> {
        open_whole(self.home.layout(), number)
    }

    /// Opens a directory in the room of a layer.
    pub(crate) fn open_in_room(&self, number: u64, name: &Name) -> io::Result<OwnedFd> {
        self.home.layout().open_in_room(number, Some(name))
    }

    /// The numbers of all layers.
    pub(crate) fn numbers(&self) -> HashSet<u64> {
        let table = self.table();
        table
            .page(None, usize::MAX)
            .map(|entry| entry.number)
            .collect()
    }

    /// Publishes a new layer.
    pub(crate) fn publish(
        &self,
        staged: StagedLayer,
        record: Record,
        syncing: Syncing,
    ) -> Result<()> {
        let explain = |error| self.explain("publish", &record.id, error);
        let number = self
            .home
            .publish(staged, &record, syncing)
            .map_err(explain)?;
        // Whoever needs it knows what for.
        self.table().insert(number, record.for_purpose(None));
        Ok(())
    }

    /// Begins a private copy of a layer.
    pub(crate) fn copy(&self, id: &LayerId, number: u64) -> Result<StagedLayer> {
        self.open_whole(number)
            .and_then(|_| self.home.stage_copy(number))
            .map_err(|error| self.explain("copy", id, error))
    }

    /// Puts a changed copy in the place of a layer: there is never a time without the one or the other.
    pub(crate) fn replace(&self, staged: StagedLayer, id: &LayerId) -> Result<()> {
        let Some(entry) = self.table().get(id.as_str()).map(Entry::facts) else {
            return Err(self.unknown(id));
        };
        // The new one first: after a crash in between there are two, and the higher revision counts.
        self.publish(staged, entry.record.next_revision(), Syncing::Now)?;
        self.watched.tell(entry.number);
        // The newer revision counts from now on; if the old one stays here, the next start deletes it.
        if let Err(error) = self.home.discard_replaced(entry.number) {
            tracing::warn!(store = self.store, layer = %id, %error, "the old revision stays until the next start");
        }
        Ok(())
    }

    /// Gives a layer the files of its changed copy, and the copy those of the layer: where they lie stays the same.
    pub(crate) fn exchange(&self, staged: StagedLayer, id: &LayerId, number: u64) -> Result<()> {
        self.unsettle(id, number)?;
        self.home
            .exchange(staged, number)
            .map_err(|error| self.explain("change", id, error))
    }

    /// Gives a layer the files of a copy that is on the device with its own digests.
    pub(crate) fn exchange_made(
        &self,
        staged: StagedLayer,
        id: &LayerId,
        number: u64,
    ) -> Result<()> {
        self.unsettle(id, number)?;
        self.home
            .exchange_made(staged, number)
            .map_err(|error| self.explain("repair", id, error))
    }

    /// Has a layer lose its digests, because it is about to be changed where it lies. The one place where that is known: whoever
    /// mounts it to be changed, or gives it another room, comes by here; what replaces it has another number.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NoSpace`]: the layer is not to be changed then.
    pub(crate) fn unsettle(&self, id: &LayerId, number: u64) -> Result<()> {
        self.watched.tell(number);
        match self.home.forget_digests(number) {
            // Nothing can change the layer there either.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            forgotten => {
                forgotten.map_err(|error| self.explain("forget the digests of", id, error))
            }
        }
    }

    /// Has those who read a layer without its lock stop, and count nothing of what they read.
    pub(crate) fn interrupt(&self, number: u64) {
        self.watched.tell(number);
    }

    /// Learns whether a layer, whose lock is held now, is changed from now on.
    pub(crate) fn watch(&self, number: u64) -> Watch {
        self.watched.watch(number)
    }

    /// The number of the layer in whose room a directory lies.
    pub(crate) fn number_of(&self, directory: &Path) -> Option<u64> {
        self.home.layout().number_of(directory)
    }

    /// Puts a layer without children onto another parent. Its own files stay as they are; whoever describes it writes
    /// that down.
    pub(crate) fn set_parent(&self, id: &LayerId, parent: Option<&LayerId>) {
        let mut table = self.table();
        if let Some(entry) = table.get(id.as_str()).map(Entry::facts) {
            table.remove(id);
            table.insert(entry.number, entry.record.with_parent(parent.cloned()));
        }
    }

    /// Removes a layer.
    pub(crate) fn discard(&self, id: &LayerId, syncing: Syncing) -> Result<()> {
        let Some(number) = self.table().get(id.as_str()).map(|entry| entry.number) else {
            return Err(self.unknown(id));
        };
        self.watched.tell(number);
        self.home
            .discard(number, syncing)
            .map_err(|error| self.explain("remove", id, error))?;
        self.table().remove(id);
        Ok(())
    }

    /// Tells whether a feature is there. The first who ask may probe at the same time: that costs a little and
    /// harms nothing.
    pub(crate) fn probe(&self, feature: Feature) -> std::result::Result<Support, Failure> {
        let known = |probes: &[(Feature, Support)]| {
            probes
                .iter()
                .find(|(probed, _)| *probed == feature)
                .map(|(_, support)| support.clone())
        };
        if let Some(support) = known(&self.probes.lock()) {
            return Ok(support);
        }
        let top = self.home.layout().top();
        let ask = || match feature {
            Feature::DType => filesystem::probe_d_type(top),
            Feature::Reflink => filesystem::probe_reflink(top),
            Feature::Overlay => filesystem::probe_overlay(top),
            Feature::OverlayNativeDiff => filesystem::probe_native_diff(top),
            Feature::Images => mica_runtime::probe_images(top),
        };
        let probed = match (ask(), self.home.rows().reserve()) {
            // What a probe makes, it removes.
            (Err(error), Some(reserve)) if error.kind() == io::ErrorKind::StorageFull => {
                reserve.lend(ask)
            }
            (probed, _) => probed,
        };
        let rows = self.home.rows();
        let fact = format!("has {feature:?}");
        let support = match probed {
            Ok(filesystem::Support::Available) => {
                rows.note_fact(&fact, 1);
                Support::Available
            }
            Ok(filesystem::Support::Missing(reason)) => Support::Missing(reason),
            // Without room, or where nothing may be written, it is what it was.
            Err(error) if cannot_write(&error) && rows.fact(&fact) == Some(1) => Support::Available,
            Err(error) => {
                return Err(Failure::from_io("probe the home's file system", &error));
            }
        };
        self.probes.lock().push((feature, support.clone()));
        Ok(support)
    }

    /// The error for a layer that is not there.
    pub(crate) fn unknown(&self, id: &LayerId) -> Error {
        Error::UnknownLayer {
            store: self.store.clone(),
            layer: id.as_str().to_owned(),
        }
    }

    fn explain(&self, action: &str, id: &LayerId, error: io::Error) -> Error {
        Error::io(
            format!("{action} layer `{id}` of store `{}`", self.store),
            error,
        )
    }
}

fn open_whole(layout: &Layout, number: u64) -> io::Result<OwnedFd> {
    let room = layout.open_room(number)?;
    let Some(lost) = btrfs::find_lost(room.as_fd())? else {
        return Ok(room);
    };
    let path = layout.room_path(number);
    let path = path.display();
    Err(io::Error::other(format!(
        "{lost}: snapshots, and what was received, do not hold the subvolumes within; bring it back to `{path}`, as itself, \
         received, or a snapshot of either, or remove the layer"
    )))
}

fn is_btrfs(layout: &Layout) -> bool {
    filesystem::statfs(layout.top()).is_ok_and(|found| found.magic == btrfs::MAGIC)
}

/// Says of the layers that have lost subvolumes how many they are, with the first of them.
pub(crate) fn find_lost(layout: &Layout, table: &Table) -> Option<Finding> {
    if !is_btrfs(layout) {
        return None;
    }
    let mut lost = table.page(None, usize::MAX).filter_map(|entry| {
        let error = open_whole(layout, entry.number).err()?;
        Some((entry.id(), error))
    });
    let (id, error) = lost.next()?;
    let more = lost.count();
    let detail = match more {
        0 => format!("layer `{id}` is not served: {error}"),
        _ => format!("layer `{id}` and {more} more are not served: {error}"),
    };
    let finding = Finding::new(FindingKind::SubvolumesLost, detail);
    Some(finding.of_layer(id.as_str()))
}

/// Whether a probe could not make what it looks at.
fn cannot_write(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    kinds.contains(&error.kind())
}
