//! Stores come and go.
//!
//! ```text
//! <root>/stores/<name>/     a store
//! <root>/stores/.<random>/  one that is being made, removed or used to try a driver: deleted at the start
//! ```
//!
//! Invariant: a store appears and disappears by one rename, and only after its driver has agreed to it.

use crate::call::Call;
use crate::engine::Engine;
use crate::event::News;
use crate::layers::{LayerSet, Owner};
use crate::mounts::Place;
use crate::scope::Scope;
use crate::store::{Description, Life, Store, Surroundings};
use crate::view::{StoreRequest, StoreView};
use crate::{Error, EventKind, Result, SafeText, StoreName, files, options};
use mica_sys::{Name, node, tree};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory beside the stores that goes with its handle.
#[derive(Debug)]
pub(crate) struct Scratch {
    parent: OwnedFd,
    name: Name,
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Scratch {
    fn new(stores: &Path) -> io::Result<Self> {
        let text = format!(".{}", files::random_name()?);
        let name = Name::new(text.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let parent = files::open_directory(stores)?;
        node::create_directory(parent.as_fd(), &name, 0o700)?;
        Ok(Self {
            parent,
            name,
            path: stores.join(text),
        })
    }

    /// Gives it its final name, under which nothing may be.
    fn keep(&self, name: &str) -> io::Result<()> {
        let parent = self.parent.as_fd();
        let name = Name::new(name.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        node::rename(parent, &self.name, parent, &name)?;
        mica_sys::filesystem::sync_file(parent)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Gone already when it was kept; what else stays, the next start deletes.
        let _removed = tree::remove(self.parent.as_fd(), &self.name);
    }
}

impl Engine {
    fn stores_path(&self) -> PathBuf {
        self.settings.root.join("stores")
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            run_dir: &self.settings.run_dir,
            durability: self.settings.durability,
            reaper: &self.reaper,
        }
    }

    /// All stores in order of their names.
    pub(crate) fn all_stores(&self) -> Vec<Arc<Store>> {
        self.stores.read().values().cloned().collect()
    }

    /// The stores of a driver.
    pub(crate) fn stores_of(&self, driver: &str) -> impl Iterator<Item = Arc<Store>> {
        let stores = self.all_stores().into_iter();
        stores.filter(move |store| store.description.driver == driver)
    }

    /// Finds a store, whether it can be used or not.
    pub(crate) fn find_store(&self, name: &str) -> Result<Arc<Store>> {
        let unknown = || Error::UnknownStore(SafeText::within(name, 64).into());
        let checked = StoreName::parse(name).or(Err(unknown()))?;
        let stores = self.stores.read();
        if let Some(store) = stores.get(&checked) {
            return Ok(Arc::clone(store));
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

    /// A directory beside the stores, on their file system.
    pub(crate) fn scratch(&self) -> Result<Scratch> {
        let path = self.stores_path();
        Scratch::new(&path).map_err(|error| Error::path("make a directory in", &path, error))
    }

    /// Opens every store; those that cannot be opened are reported.
    pub(crate) fn open_stores(&self) -> Result<()> {
        let path = self.stores_path();
        files::make_directory(&path).map_err(|error| Error::path("make", &path, error))?;
        let top =
            files::open_directory(&path).map_err(|error| Error::path("open", &path, error))?;
        let names = node::names(top.as_fd()).map_err(|error| Error::path("list", &path, error))?;
        for bytes in names {
            let Ok(name) = Name::new(&bytes) else {
                continue;
            };
            if bytes.starts_with(b".") {
                if let Err(error) = tree::remove(top.as_fd(), &name) {
                    let path = path.join(String::from_utf8_lossy(&bytes).as_ref());
                    tracing::warn!(path = %path.display(), %error, "a scratch directory stays until the next start");
                }
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            let opened = StoreName::parse(&text).and_then(|name| {
                self.open_store(&name)
                    .map_err(|error| self.note_unopened(&name, error))
            });
            if let Err(error) = opened {
                let news = News::new(EventKind::StoreFailed).store(&text);
                self.report(
                    news,
                    Some(&text),
                    format!("the store cannot be opened: {}", explained(&error)),
                );
            }
        }
        Ok(())
    }

    fn open_store(&self, name: &StoreName) -> Result<()> {
        let path = self.stores_path().join(name.as_str());
        let (store, problems) = Store::open(name, &path, &self.surroundings())?;
        for problem in problems {
            self.report_store(name.as_str(), problem);
        }
        if let Err(error) = self.make_ready(&store) {
            // The status tells it for as long as it is so.
            let detail = explained(&error);
            tracing::warn!(store = %name, detail, "the store cannot be used");
            self.bus.tell(
                News::new(EventKind::StoreFailed)
                    .store(name.as_str())
                    .detail(detail),
            );
        }
        self.stores.write().insert(name.clone(), store);
        Ok(())
    }

    /// Unmounts what stores left that are not there any more.
    pub(crate) fn clear_mounts_of_no_store(&self) {
        let Ok(entries) = fs::read_dir(self.settings.run_dir.join("m")) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if StoreName::parse(&name).is_err() || self.stores_path().join(&name).exists() {
                continue;
            }
            let Ok(place) = Place::open(&self.settings.run_dir, &name) else {
                continue;
            };
            match place.adopt(|_| false) {
                Ok(adopted) => adopted
                    .problems
                    .into_iter()
                    .for_each(|problem| self.report_store(&name, problem)),
                Err(error) => {
                    self.report_store(&name, format!("its mounts cannot be listed: {error}"))
                }
            }
            place.remove();
        }
    }

    /// Asks the driver whether it can work on a store, unless it has said so before.
    pub(crate) fn make_ready(&self, store: &Store) -> Result<()> {
        if store.unavailable().is_none() {
            return Ok(());
        }
        let answer = self.init(&store.layers);
        *store.unavailable() = answer.as_ref().err().map(explained);
        answer
    }

    fn init(&self, layers: &Arc<LayerSet>) -> Result<()> {
        let call = Call::new("init", Scope::store(layers));
        let options = Arc::clone(&layers.options);
        self.call(call, move |generation, operation| {
            generation.init(operation, &options)
        })
    }

    /// Tells the driver that a store is closed.
    pub(crate) fn clean_up(&self, store: &Store) {
        if store.unavailable().is_some() {
            return;
        }
        let call = Call::new("cleanup", Scope::store(&store.layers));
        if let Err(error) = self.call(call, |generation, operation| generation.cleanup(operation)) {
            tracing::warn!(store = %store.name, error = explained(&error), "the driver could not clean up");
        }
    }

    /// Names the stores, without what their drivers say.
    pub fn stores(&self) -> Vec<StoreView> {
        // A store whose file system does not answer any more is left out rather than all of them.
        self.all_stores()
            .iter()
            .filter_map(|store| store.view().ok())
            .collect()
    }

    /// Describes one store, with what its driver says of its state.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; what the driver answers.
    pub fn store(&self, name: &str) -> Result<StoreView> {
        self.check_open()?;
        let store = self.find_store(name)?;
        let _life = store.enter()?;
        if self.make_ready(&store).is_err() {
            return store.view();
        }
        let call = Call::new("status", Scope::store(&store.layers));
        let status = self.call(call, |generation, operation| generation.status(operation))?;
        let status = status
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        Ok(StoreView {
            status,
            ..store.view()?
        })
    }

    /// Asks whether a store can be used.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; why its driver cannot work on it.
    pub fn check_store(&self, name: &str) -> Result<()> {
        self.check_open()?;
        let store = self.find_store(name)?;
        let _life = store.enter()?;
        self.make_ready(&store)
    }

    /// Makes a store after its driver has said that it can work there with these options. If the request names no
    /// driver, one is chosen, and the store says why.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::StoreExists`], [`Error::UnknownDriver`], the driver's own refusal. Without a
    /// driver named also [`Error::Invalid`] when several drivers have layers, and [`Error::NotSupported`] when none
    /// works.
    pub fn create_store(&self, request: StoreRequest) -> Result<StoreView> {
        self.check_open()?;
        let StoreRequest {
            name,
            driver,
            options,
            client,
        } = request;
        let name = StoreName::parse(&name)?;
        if self.find_store(name.as_str()).is_ok() {
            return Err(Error::StoreExists(name.as_str().to_owned()));
        }
        options::check("option", &options, self.runtime.limits())?;
        match driver {
            Some(driver) => self.make_store(&name, Description::new(&driver, options, client))?,
            None => {
                let draft =
                    |driver: &str| Description::new(driver, options.clone(), client.clone());
                self.make_store_of_choice(&name, &draft)?;
            }
        }
        self.store(name.as_str())
    }

    /// Makes a store as it is described, if its driver can work there.
    pub(crate) fn make_store(&self, name: &StoreName, description: Description) -> Result<()> {
        self.known_driver(&description.driver)?;
        let scratch = self.scratch()?;
        let owner = Owner {
            store: name.as_str().to_owned(),
            driver: description.driver.clone(),
            options: description.options.clone(),
        };
        let layers = LayerSet::open_scratch(owner, &scratch.path, &self.reaper)?;
        self.init(&layers)?;
        drop(layers);
        description.write(&scratch.path, self.settings.durability)?;
        scratch
            .keep(name.as_str())
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::StoreExists(name.as_str().to_owned()),
                _ => Error::path("make", &self.stores_path().join(name.as_str()), error),
            })?;
        self.open_store(name)?;
        self.bus.tell(
            News::new(EventKind::StoreCreated)
                .store(name.as_str())
                .driver(&description.driver),
        );
        Ok(())
    }

    /// Removes a store that has no layers and no mounts.
    ///
    /// # Errors
    /// [`Error::UnknownStore`]; [`Error::Busy`] while it has layers or mounts, or operations run in it;
    /// [`Error::HoldsSnapshots`] for the store of a container runtime.
    pub fn remove_store(&self, name: &str) -> Result<()> {
        self.check_open()?;
        let store = self.find_store(name)?;
        store.check_no_snapshots()?;
        let (layers, mounts) = (store.layers.table().len(), store.mounts.len());
        if layers > 0 || mounts > 0 {
            return Err(Error::Busy(format!(
                "store `{name}` has {layers} layers, {mounts} of them mounted"
            )));
        }
        self.clean_up(&store);
        let mut life = store.close()?;
        if *life == Life::Gone || store.layers.table().len() > 0 {
            return Err(Error::Busy(format!("store `{name}` is in use")));
        }
        let scratch = self.scratch()?;
        let gone = scratch.path.join("store");
        fs::rename(&store.path, &gone)
            .map_err(|error| Error::path("remove", &store.path, error))?;
        *life = Life::Gone;
        self.stores.write().remove(&store.name);
        store.place.remove();
        if let Ok(slot) = self.registry.get(&store.description.driver) {
            // Another store of the same name begins anew.
            slot.quarantine.release(Some(name), None);
        }
        self.bus
            .tell(News::new(EventKind::StoreRemoved).store(name));
        Ok(())
    }
}

/// An error with its causes, in one line.
pub(crate) fn explained(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
