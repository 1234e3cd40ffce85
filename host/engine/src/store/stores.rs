//! What can be done with the stores as a whole: all of it is in this file, but how one gets another name, which is in `rename.rs`, and
//! another place, which is in `relocation`.
//!
//! ```text
//! <root>/stores/<name>/     a store
//! <root>/stores/.<random>/  one that is being made, removed or used to try a driver: deleted at the start
//! ```
//!
//! Invariant: a store appears and disappears by one rename, and only after its driver has agreed to it.

use super::scratch::Scratch;
use super::{Description, Life, OpenStore, Store, site};
use crate::engine::Engine;
use crate::event::News;
use crate::layers::{LayerSet, Owner};
use crate::scrub::Scrub;
use crate::snapshots::Told;
use crate::view::{Pairs, StoreRequest, StoreView};
use crate::{Error, EventKind, Result, SafeText, StoreName, options};
use mica_text::with_causes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The stores by name.
#[derive(Debug, Default)]
pub(crate) struct StoreTable {
    open: RwLock<BTreeMap<StoreName, Arc<Store>>>,
    /// Why stores that lie on disk could not be opened. What is asked of such a store is answered with the reason, never as if
    /// the store were not there.
    unopened: RwLock<BTreeMap<StoreName, String>>,
    /// Stores that are on their way to another place, as they are told of meanwhile.
    pub(super) moving: RwLock<BTreeMap<StoreName, StoreView>>,
    /// Stores that front ends serve to clients, by name: whether they are there or not.
    served: RwLock<BTreeMap<String, String>>,
}

/// The stores of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Stores<'e> {
    pub(super) engine: &'e Engine,
}

impl Stores<'_> {
    /// Describes the stores in order of their names, without what their drivers say.
    #[must_use]
    pub fn list(self) -> Vec<StoreView> {
        let moving = self.engine.store_table.moving.read().clone();
        // A store whose file system does not answer any more is left out rather than all of them.
        let views = self.all();
        let views = views.iter().filter_map(|store| store.view().ok());
        let views = views.map(|view| (view.name.clone(), view));
        let mut all: BTreeMap<String, StoreView> = views.collect();
        all.extend(moving.into_values().map(|view| (view.name.clone(), view)));
        all.into_values().collect()
    }

    /// Makes a store after its driver has said that it can work there with these options. If the request names no
    /// driver, one is chosen, and the store says why.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::StoreExists`], [`Error::UnknownDriver`], the driver's own refusal. Without a
    /// driver named also [`Error::Invalid`] when several drivers have layers, and [`Error::NotSupported`] when none
    /// works.
    pub fn create(self, request: StoreRequest) -> Result<StoreView> {
        self.engine.check_open()?;
        let StoreRequest {
            name,
            driver,
            options: Pairs(options),
            client,
        } = request;
        let name = StoreName::parse(&name)?;
        if self.find(name.as_str()).is_ok() {
            return Err(Error::StoreExists(name.as_str().to_owned()));
        }
        let _choosing = self.engine.registry.choosing.read();
        options::check("option", &options, self.engine.runtime.limits())?;
        match driver {
            Some(driver) => self.make(&name, Description::new(&driver, options, client))?,
            None => {
                let draft =
                    |driver: &str| Description::new(driver, options.clone(), client.clone());
                self.make_of_choice(&name, &draft)?;
            }
        }
        self.engine.store(name.as_str())?.describe()
    }

    /// Removes a store that has no layers and no mounts.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Busy`] while it has layers or mounts, or operations run in it;
    /// [`Error::HoldsSnapshots`] for the store of a container runtime.
    pub fn remove(self, name: &str) -> Result<()> {
        let engine = self.engine;
        engine.check_open()?;
        let store = self.find(name)?;
        store.check_no_snapshots()?;
        let (layers, mounts) = (store.layers.table().len(), store.mounts.len());
        if layers > 0 || mounts > 0 {
            return Err(Error::Busy(format!(
                "store `{name}` has {layers} layers, {mounts} of them mounted"
            )));
        }
        let mut life = store.close()?;
        if *life == Life::Gone || store.layers.table().len() > 0 {
            return Err(Error::Busy(format!("store `{name}` is in use")));
        }
        // Only now: whoever works in a store may need what its driver gives up.
        store.clean_up(engine);
        // If it stays after all, its driver is asked again by whoever needs it.
        store
            .unavailable()
            .get_or_insert_with(|| "it was closed to be removed".to_owned());
        let scratch = self.scratch()?;
        let gone = scratch.path.join(site::REMOVED);
        // Of one that lies elsewhere it is the link to it.
        fs::rename(self.path().join(name), &gone)
            .map_err(|error| Error::path("remove", &store.path, error))?;
        *life = Life::Gone;
        self.forget(&store.name);
        store.place.remove();
        scratch.clear(&self.path());
        if let Ok(slot) = engine.registry.get(&store.description.driver) {
            // Another store of the same name begins anew.
            slot.quarantine.release(Some(name), None);
        }
        engine
            .bus
            .tell(News::new(EventKind::StoreRemoved).store(name));
        Ok(())
    }

    /// Opens the store of a container runtime, and makes it if it is missing. From then on its layers are changed
    /// only as snapshots.
    ///
    /// # Errors
    /// [`Error::Busy`] when the store has layers that are no snapshots; [`Error::Io`] when it is there and could not be
    /// opened; those of [`Stores::create`].
    pub fn open_snapshots(self, request: StoreRequest) -> Result<()> {
        let name = request.name.clone();
        let store = match self.find(&name) {
            Err(Error::UnknownStore(_)) => {
                self.create(request)?;
                self.find(&name)?
            }
            found => found?,
        };
        if store.snapshots().is_err() {
            let layers = store.layers.table().len();
            if layers > 0 {
                return Err(Error::Busy(format!(
                    "store `{name}` has {layers} layers that are no snapshots"
                )));
            }
            for finding in store.set_snapshots(&Told::default())? {
                self.engine.report_store(&name, finding.detail);
            }
        }
        self.start_remover(&store)
    }

    /// Notes that a front end serves a store, which may not be there yet, to a client of this name.
    pub fn serve(self, name: &str, client: &str) {
        let mut served = self.engine.store_table.served.write();
        served.insert(name.to_owned(), client.to_owned());
    }

    /// Why a store that lies on disk could not be opened; `None` for any other.
    #[must_use]
    pub fn why_unopened(self, name: &str) -> Option<String> {
        let name = StoreName::parse(name).ok()?;
        self.engine.store_table.unopened.read().get(&name).cloned()
    }

    /// Whether stores lie on disk that could not be opened.
    #[must_use]
    pub fn has_unopened(self) -> bool {
        !self.engine.store_table.unopened.read().is_empty()
    }
}

impl<'e> Stores<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Self {
        Self { engine }
    }

    /// Opens a store, whether its driver can work on it or not.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Io`] with the reason when it lies on disk and could not be opened.
    pub(crate) fn open(self, name: &str) -> Result<OpenStore<'e>> {
        OpenStore::new(self.engine, self.find(name)?)
    }

    /// The client that alone decides about the layers of a store, if there is one.
    pub(crate) fn owner(self, store: &Store) -> Option<String> {
        let served = || self.client_of(store.name.as_str());
        let runtime = || store.snapshots().is_ok().then(|| "containerd".to_owned());
        let client = store.description.client.clone();
        client.or_else(served).or_else(runtime)
    }

    /// The client that a store of this name is served to, whether it is there or not.
    pub(super) fn client_of(self, name: &str) -> Option<String> {
        self.engine.store_table.served.read().get(name).cloned()
    }

    /// Forgets a store that is gone, or is to be opened again.
    pub(super) fn forget(self, name: &StoreName) {
        self.engine.store_table.open.write().remove(name);
    }

    /// All stores in order of their names.
    pub(crate) fn all(self) -> Vec<Arc<Store>> {
        self.engine
            .store_table
            .open
            .read()
            .values()
            .cloned()
            .collect()
    }

    /// The names of all stores, in order: for whoever takes long with each and is to keep none of them from being renamed.
    pub(crate) fn names(self) -> Vec<StoreName> {
        let open = self.engine.store_table.open.read();
        open.keys().cloned().collect()
    }

    /// The stores of a driver.
    pub(crate) fn of_driver(self, driver: &str) -> impl Iterator<Item = Arc<Store>> {
        let stores = self.all().into_iter();
        stores.filter(move |store| store.description.driver == driver)
    }

    /// The stores that could not be opened, each with the reason.
    pub(crate) fn unopened(self) -> Vec<(String, String)> {
        let unopened = self.engine.store_table.unopened.read();
        let pairs = unopened.iter();
        pairs
            .map(|(name, reason)| (name.as_str().to_owned(), reason.clone()))
            .collect()
    }

    /// Finds a store, whether it can be used or not.
    pub(crate) fn find(self, name: &str) -> Result<Arc<Store>> {
        let unknown = || Error::UnknownStore(SafeText::within(name, 64).into());
        let checked = StoreName::parse(name).or(Err(unknown()))?;
        let stores = self.engine.store_table.open.read();
        if let Some(store) = stores.get(&checked) {
            return Ok(Arc::clone(store));
        }
        if let Some(why) = self.why_moving(&checked) {
            return Err(Error::Busy(format!(
                "store `{checked}` cannot be used: {why}"
            )));
        }
        // One that is not known is as good as empty to whoever asks; this one is not.
        match self.why_unopened(name) {
            Some(reason) => Err(Error::Io {
                doing: format!("use store `{name}`, which could not be opened"),
                source: io::Error::other(reason),
            }),
            None => Err(unknown()),
        }
    }

    /// Why a store cannot be used that is on its way to another place.
    fn why_moving(self, name: &StoreName) -> Option<String> {
        let moving = self.engine.store_table.moving.read();
        moving.get(name)?.unavailable.clone()
    }

    /// Takes a store that was opened.
    pub(super) fn add(self, store: Arc<Store>) {
        let name = store.name.clone();
        self.engine.store_table.open.write().insert(name, store);
    }

    /// Remembers why a store could not be opened.
    pub(super) fn note_unopened(self, name: &StoreName, error: Error) -> Error {
        let mut unopened = self.engine.store_table.unopened.write();
        unopened.insert(name.clone(), with_causes(&error));
        error
    }

    /// Where the stores lie.
    pub(super) fn path(self) -> PathBuf {
        self.engine.settings.root.join("stores")
    }

    /// A directory beside the stores, on their file system.
    pub(crate) fn scratch(self) -> Result<Scratch> {
        let path = self.path();
        Scratch::new(&path).map_err(|error| Error::path("make a directory in", &path, error))
    }

    /// Makes a store as it is described, if its driver can work there.
    pub(super) fn make(self, name: &StoreName, description: Description) -> Result<()> {
        let engine = self.engine;
        self.known_driver(&description.driver)?;
        let scratch = self.scratch()?;
        let owner = Owner {
            store: name.as_str().to_owned(),
            driver: description.driver.clone(),
            options: description.options.clone(),
        };
        let layers = LayerSet::open_scratch(owner, &scratch.path, &engine.reaper)?;
        Store::init(&layers, engine)?;
        drop(layers);
        description.write(&scratch.path, engine.settings.durability)?;
        let scrub = Scrub::open(&scratch.path, engine.settings.durability);
        scrub
            .make()
            .map_err(|error| Error::path("write", &scratch.path, error))?;
        scratch
            .keep(name.as_str())
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::StoreExists(name.as_str().to_owned()),
                _ => Error::path("make", &self.path().join(name.as_str()), error),
            })?;
        self.open_one(name)?;
        engine.bus.tell(
            News::new(EventKind::StoreCreated)
                .store(name.as_str())
                .driver(&description.driver),
        );
        Ok(())
    }
}
