//! One store: a driver bound to a home and options. `stores.rs` has what can be done with stores as a whole, `door.rs` and
//! `layers/store.rs` what can be done within one, `snapshots/store.rs` what a container runtime does in its own.
//!
//! Invariant: what is known of a store in memory and what lies on disk change together.

mod call;
mod description;
mod door;
mod ready;
mod relocation;
mod rename;
mod scope;
mod scratch;
mod selection;
mod site;
mod start;
mod stores;
mod verb;

pub(crate) use call::Call;
pub(crate) use description::{COPY, DESCRIPTION, Description};
pub use door::OpenStore;
pub(crate) use scope::{Intent, Scope};
pub(crate) use site::{clear as clear_scratch, home_of, is_elsewhere};
pub(crate) use start::clear_mounts_of_no_store;
pub(crate) use stores::StoreTable;
pub use stores::Stores;
pub(crate) use verb::Verb;

use crate::check::Finding;
use crate::disk::home::Reaper;
use crate::disk::rows::{After, Rows};
use crate::layers::{Entry, Facts, Held, Key, LayerSet, Locks, Mode, Owner};
use crate::mounts::{Mounts, Place};
use crate::scrub::Scrub;
use crate::settings::Durability;
use crate::snapshots::{Snapshots, Told, shown};
use crate::traffic::ClientCall;
use crate::view::{BackingView, LayerView, Pairs, StoreView};
use crate::{Error, LayerId, Result, StoreName};
use door::Stay;
use mica_sys::filesystem;
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a removal waits for those who are in the store.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an operation waits for layers that others work on; a diff may take longer than anyone wants to wait.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a store is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is.
    Here,
    /// It was removed.
    Gone,
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) name: StoreName,
    pub(crate) path: PathBuf,
    pub(crate) description: Description,
    pub(crate) layers: Arc<LayerSet>,
    pub(crate) mounts: Mounts,
    pub(crate) place: Place,
    pub(crate) scrub: Scrub,
    snapshots: OnceLock<Arc<Snapshots>>,
    locks: Locks,
    life: Arc<RwLock<Life>>,
    unavailable: Mutex<Option<String>>,
}

/// Where stores find what they need.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) run_dir: &'a Path,
    pub(crate) durability: Durability,
    pub(crate) reaper: &'a Arc<Reaper>,
}

impl Store {
    /// Opens the store in a directory, and puts right what it can. What was wrong comes back as well.
    pub(crate) fn open(
        name: &StoreName,
        path: &Path,
        around: &Surroundings<'_>,
    ) -> Result<(Arc<Self>, Vec<Finding>)> {
        let (description, damaged) = Description::read(path)?;
        description.mend(path, around.durability);
        let (driver, options) = (description.driver.clone(), description.options.clone());
        let owner = Owner {
            store: name.as_str().to_owned(),
            driver,
            options,
        };
        let (durability, reaper) = (around.durability, around.reaper);
        let (rows, mut loaded) = Rows::open(path, durability)?;
        if let Err(error) = rows.keep_reserve(path) {
            tracing::warn!(store = %name, %error, "there is no reserve for removals on a full disk");
        }
        let is_behind = loaded.is_behind;
        let (told, described) = Told::new(&mut loaded, &description.driver);
        let opened = LayerSet::open(owner, path, durability, reaper, (&rows, &described))?;
        let (layers, more) = opened;
        let mut findings: Vec<Finding> = damaged.into_iter().collect();
        findings.extend(loaded.findings);
        findings.extend(more);
        let place = Place::open(around.run_dir, name.as_str())
            .map_err(|error| Error::path("use run directory", around.run_dir, error))?;
        let is_layer = |state: &crate::mounts::State| {
            layers
                .table()
                .get(state.layer.as_str())
                .is_some_and(|entry| entry.number == state.number)
        };
        let adopted = place
            .adopt(is_layer)
            .map_err(|error| Error::path("list mounts below", around.run_dir, error))?;
        findings.extend(adopted.findings);
        let store = Self {
            name: name.clone(),
            path: path.to_owned(),
            description,
            layers,
            mounts: Mounts::new(adopted.mounts, adopted.stuck),
            place,
            scrub: Scrub::open(path, durability),
            snapshots: OnceLock::new(),
            locks: Locks::default(),
            life: Arc::new(RwLock::new(Life::Here)),
            // Until its driver has said that it can work on it.
            unavailable: Mutex::new(Some("it was not tried yet".to_owned())),
        };
        if Snapshots::are_in(path, &told) {
            findings.extend(store.set_snapshots(&told)?);
        }
        // What newer records said is in the rows by now, so they are as new as their mark says.
        if is_behind && let Err(error) = rows.commit(Vec::new(), After::Nothing) {
            tracing::warn!(store = %name, %error, "the next start reads newer records again");
        }
        Ok((Arc::new(store), findings))
    }

    /// Keeps the store from being removed while the guard lives.
    ///
    /// # Errors
    /// [`Error::UnknownStore`] when it was removed before.
    pub(crate) fn enter(&self) -> Result<Stay> {
        let life = self.life.read_arc();
        match *life {
            Life::Here => Ok(life),
            Life::Gone => Err(Error::UnknownStore(self.name.as_str().to_owned())),
        }
    }

    /// Keeps everyone else out while the guard lives.
    ///
    /// # Errors
    /// [`Error::Busy`] when operations run.
    pub(crate) fn close(&self) -> Result<RwLockWriteGuard<'_, Life>> {
        let busy = || Error::Busy(format!("operations run in store `{}`", self.name));
        // Who compares builds looks at a store for a moment, and is nobody's operation.
        self.life.try_write_for(CLOSE_TIMEOUT).ok_or_else(busy)
    }

    /// Why the driver cannot work on the store.
    pub(crate) fn unavailable(&self) -> MutexGuard<'_, Option<String>> {
        self.unavailable.lock()
    }

    /// Waits for locks.
    ///
    /// # Errors
    /// [`Error::Busy`] when they are not free for too long.
    pub(crate) fn lock(&self, wanted: Vec<(Key, Mode)>) -> Result<Held<'_>> {
        match wanted.first() {
            Some((Key::Layer(id) | Key::Mount(id), _)) => ClientCall::note_layer(id.as_str()),
            Some((Key::Snapshot(key), _)) => ClientCall::note_layer(&shown(key)),
            None => {}
        }
        self.locks.acquire(wanted, LOCK_TIMEOUT).map_err(|key| {
            let what = match key {
                Key::Layer(id) | Key::Mount(id) => format!("layer `{id}`"),
                Key::Snapshot(key) => format!("snapshot `{}`", shown(&key)),
            };
            Error::Busy(format!(
                "another operation works on {what} of store `{}` for {LOCK_TIMEOUT:?}",
                self.name
            ))
        })
    }

    /// Waits for locks, for someone who can do without them.
    pub(crate) fn lock_within(
        &self,
        wanted: Vec<(Key, Mode)>,
        patience: Duration,
    ) -> Option<Held<'_>> {
        self.locks.acquire(wanted, patience).ok()
    }

    /// What is known of a layer.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`].
    pub(crate) fn facts(&self, id: &LayerId) -> Result<Facts> {
        self.layers
            .table()
            .get(id.as_str())
            .map(Entry::facts)
            .ok_or_else(|| self.layers.unknown(id))
    }

    /// The number of a layer that is there.
    pub(crate) fn number_of(&self, id: &LayerId) -> Option<u64> {
        let table = self.layers.table();
        table.get(id.as_str()).map(|entry| entry.number)
    }

    /// Refuses a layer that is mounted.
    pub(crate) fn check_unmounted(&self, id: &LayerId) -> Result<()> {
        match self.mounts.get(id) {
            Some(state) => Err(Error::Mounted {
                layer: id.as_str().to_owned(),
                path: self.place.point(state.number),
                references: state.references,
            }),
            None => self.check_not_stuck(id),
        }
    }

    /// Refuses a layer that may be used through a mount that nobody knows.
    fn check_not_stuck(&self, id: &LayerId) -> Result<()> {
        let number = self.number_of(id);
        match number.filter(|number| self.mounts.is_stuck(*number)) {
            None => Ok(()),
            Some(number) => Err(Error::Busy(format!(
                "layer `{id}` is mounted at `{}`, and a start could not unmount that: end what uses it, and start the daemon anew",
                self.place.point(number).display()
            ))),
        }
    }

    /// The snapshots.
    ///
    /// # Errors
    /// [`Error::NoSnapshots`].
    pub(crate) fn snapshots(&self) -> Result<&Arc<Snapshots>> {
        let none = || Error::NoSnapshots(self.name.as_str().to_owned());
        self.snapshots.get().ok_or_else(none)
    }

    /// Makes rows the snapshots; what was wrong comes back.
    fn set_snapshots(&self, told: &Told) -> Result<Vec<Finding>> {
        let (snapshots, findings) = Snapshots::new(told, &self.path, &self.layers)?;
        // An error means that another was faster.
        let _first = self.snapshots.set(Arc::new(snapshots));
        Ok(findings)
    }

    /// Refuses to change layers of a store whose layers are snapshots.
    ///
    /// # Errors
    /// [`Error::HoldsSnapshots`].
    pub(crate) fn check_no_snapshots(&self) -> Result<()> {
        match self.snapshots.get() {
            Some(_) => Err(Error::HoldsSnapshots(self.name.as_str().to_owned())),
            None => Ok(()),
        }
    }

    /// Writes the record of a layer anew, from what is known of it.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::NoSpace`], [`Error::Io`].
    pub(crate) fn write_record(&self, id: &LayerId) -> Result<()> {
        if let Ok(snapshots) = self.snapshots() {
            let all = snapshots.table().all();
            if let Some(snapshot) = all.iter().find(|one| one.layer.as_ref() == Some(id)) {
                return snapshots.write_record(snapshot);
            }
        }
        let facts = self.facts(id)?;
        let written = self
            .layers
            .home()
            .replace_record(facts.number, &facts.record);
        written.map_err(|error| Error::io(format!("write the record of layer `{id}`"), error))
    }

    /// What is told of a layer.
    pub(crate) fn layer_view(&self, facts: Facts) -> LayerView {
        let Facts {
            number,
            record,
            depth,
            children,
            child: _,
        } = facts;
        LayerView {
            mounts: self.mounts.references(&record.id),
            id: record.id.into(),
            parent: record.parent.map(String::from),
            kind: record.kind.into(),
            created: record.created,
            children,
            depth,
            number,
            store: self.name.as_str().to_owned(),
            driver: record.driver,
        }
    }

    /// What is told of the store, without the driver's own words.
    pub(crate) fn view(&self) -> Result<StoreView> {
        let found = filesystem::statfs(self.layers.home().layout().top())
            .map_err(|error| Error::path("measure file system of", &self.path, error))?;
        Ok(StoreView {
            name: self.name.as_str().to_owned(),
            driver: self.description.driver.clone(),
            chosen: self.description.chosen.clone(),
            options: Pairs(self.description.options.clone()),
            client: self.description.client.clone(),
            created: self.description.created,
            path: self.path.clone(),
            backing: BackingView {
                magic: found.magic,
                filesystem: filesystem::name_of(found.magic)
                    .unwrap_or("<unknown>")
                    .to_owned(),
                total_bytes: found.total_bytes,
                free_bytes: found.free_bytes,
                total_inodes: found.total_inodes,
                free_inodes: found.free_inodes,
            },
            holds_snapshots: self.snapshots.get().is_some(),
            layers: self.layers.table().len(),
            mounts: self.mounts.len(),
            status: Pairs::default(),
            unavailable: self.unavailable().clone(),
        })
    }
}
