//! A store gets another name.
//!
//! Invariant: the store has one of its names at every moment on disk, by one rename; while it has none in memory, nobody works in it.

use super::stores::Stores;
use super::{Life, Store};
use crate::disk::files;
use crate::event::News;
use crate::view::StoreView;
use crate::words::counted;
use crate::{Error, EventKind, Result, StoreName};
use mica_sys::{Name, filesystem, node};
use mica_text::with_causes;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it may take until nobody has the store any more: a scrub is at a piece of a file, a status at a file system.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether nobody has the store any more.
const PAUSE: Duration = Duration::from_millis(5);

impl Stores<'_> {
    /// Gives a store another name. It keeps all else.
    ///
    /// # Errors
    /// [`Error::UnknownStore`], [`Error::InvalidName`], [`Error::StoreExists`]; [`Error::StoreServed`] for one that a client knows by
    /// its name, or of a name by which a client will want one; [`Error::Busy`] while layers are mounted or operations run.
    pub fn rename(self, name: &str, new_name: &str) -> Result<StoreView> {
        self.engine.check_open()?;
        let store = self.find(name)?;
        let new_name = StoreName::parse(new_name)?;
        // Nobody may remove its driver while the store cannot be found.
        let _choosing = self.engine.registry.choosing.read();
        self.check_free(&new_name)?;
        self.check_idle(&store)?;
        let old_name = store.name.clone();
        let (driver, store) = (store.description.driver.clone(), self.take_out(store)?);
        store.layers.home().rows().close();
        store.place.remove();
        // The file of the rows is opened by its path.
        drop(store);
        let renamed = self.rename_on_disk(&old_name, &new_name);
        let name = match renamed {
            Ok(()) => &new_name,
            Err(_) => &old_name,
        };
        let opened = self
            .open_one(name)
            .map_err(|error| self.note_unopened(name, error));
        renamed?;
        opened?;
        if let Ok(slot) = self.engine.registry.get(&driver) {
            slot.quarantine.release(Some(old_name.as_str()), None);
        }
        let news = News::new(EventKind::StoreRenamed).store(new_name.as_str());
        let was = format!("it was `{old_name}`");
        self.engine.bus.tell(news.driver(&driver).detail(was));
        // What its driver says of its state is no part of it: the store has its new name whatever that is.
        let open = self.open(new_name.as_str())?;
        open.describe().or_else(|_| open.store.view())
    }

    /// Refuses a name that a store has, or that a client will want a store to have.
    fn check_free(self, name: &StoreName) -> Result<()> {
        match self.find(name.as_str()) {
            Err(Error::UnknownStore(_)) => {}
            _taken => return Err(Error::StoreExists(name.as_str().to_owned())),
        }
        match self.client_of(name.as_str()) {
            Some(by) => Err(Error::StoreServed {
                store: name.as_str().to_owned(),
                by,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn check_idle(self, store: &Store) -> Result<()> {
        let name = store.name.as_str().to_owned();
        if let Some(by) = self.owner(store) {
            return Err(Error::StoreServed { store: name, by });
        }
        match (store.mounts.len(), store.mounts.first_stuck()) {
            (0, None) => Ok(()),
            // With another name nobody would know any more that its layer may be in use.
            (0, Some(number)) => Err(Error::Busy(format!(
                "a layer of store `{name}` is mounted at `{}`, and a start could not unmount that: end what uses it, and start the daemon anew",
                store.place.point(number).display()
            ))),
            (mounts, _) => Err(Error::Busy(format!(
                "of store `{name}` {} mounted",
                counted_layers(mounts)
            ))),
        }
    }

    /// Takes a store out of memory, so that nobody else has it, and tells its driver that it is closed.
    pub(super) fn take_out(self, store: Arc<Store>) -> Result<Arc<Store>> {
        let name = store.name.clone();
        {
            let mut life = store.close()?;
            if *life == Life::Gone {
                return Err(Error::UnknownStore(name.as_str().to_owned()));
            }
            // It may have been mounted meanwhile.
            self.check_idle(&store)?;
            *life = Life::Gone;
            self.forget(&name);
        }
        store.scrub.interrupt();
        // Only now: whoever works in a store may need what its driver gives up.
        store.clean_up(self.engine);
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        while Arc::strong_count(&store) > 1 || Arc::strong_count(&store.layers) > 1 {
            if Instant::now() >= deadline {
                *store.life.write() = Life::Here;
                // Its driver has closed it, and is asked again by whoever needs it.
                *store.unavailable() = Some("it was closed to be renamed or moved".to_owned());
                store.scrub.resume();
                self.add(store);
                let text = format!("operations that look at store `{name}` do not end");
                return Err(Error::Busy(text));
            }
            // Whoever looks at all stores has each of them for a moment, and no event tells when that is over.
            std::thread::sleep(PAUSE);
        }
        Ok(store)
    }

    fn rename_on_disk(self, name: &StoreName, new_name: &StoreName) -> Result<()> {
        let path = self.path();
        let renamed = || {
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
            let stores = files::open_directory(&path)?;
            let from = Name::new(name.as_str().as_bytes()).map_err(invalid)?;
            let to = Name::new(new_name.as_str().as_bytes()).map_err(invalid)?;
            node::rename(stores.as_fd(), &from, stores.as_fd(), &to)?;
            if let Err(error) = filesystem::sync_file(stores.as_fd()) {
                let error = with_causes(&error);
                tracing::warn!(store = %new_name, error, "the store may have its old name after a power failure");
            }
            Ok(())
        };
        renamed().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::StoreExists(new_name.as_str().to_owned()),
            _ => Error::path("rename", &path.join(name.as_str()), error),
        })
    }
}

/// `1 layer is`, `2 layers are`.
fn counted_layers(count: u64) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(count, "layer"))
}
