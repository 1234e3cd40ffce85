//! A driver goes, with its builds.
//!
//! Invariant: its directory goes in one rename, which is the moment of it; until then nothing has changed, and from then on no
//! store can have the driver.

use super::swap::changing;
use super::{Drivers, Slot};
use crate::event::News;
use crate::store::Description;
use crate::{Error, EventKind, Result};
use std::fs;
use std::io;

impl Drivers<'_> {
    /// Removes a driver that was loaded.
    pub(super) fn remove_driver(self, name: &str) -> Result<()> {
        let registry = &self.engine.registry;
        // In this order everywhere: names, the driver, then those that choose drivers for stores.
        let _loading = registry.loading.lock();
        let slot = registry.get(name)?;
        let _changing = changing(&slot)?;
        let _choosing = registry.choosing.write();
        if slot.shipped.is_some() {
            return Err(Error::DriverShips(name.to_owned()));
        }
        self.check_unused(&slot)?;
        let directory = self.engine.settings.root.join("drivers").join(name);
        let components = self.components(&slot);
        let scratch = self.engine.stores().scratch()?;
        match fs::rename(&directory, scratch.path.join("driver")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::path("remove", &directory, error));
            }
            _gone => {}
        }
        registry.remove(name);
        for component in components {
            self.engine.runtime.forget(&component);
        }
        let news = News::new(EventKind::DriverRemoved).driver(name);
        self.engine.bus.tell(news);
        Ok(())
    }

    /// Refuses a driver that stores have.
    fn check_unused(self, slot: &Slot) -> Result<()> {
        let stores = self.engine.stores();
        let open = stores.of_driver(&slot.name);
        let mut names: Vec<_> = open.map(|store| store.name.as_str().to_owned()).collect();
        // One that could not be opened may be put right, and then needs its driver.
        let unopened = stores.unopened().into_iter().map(|(store, _)| store);
        names.extend(unopened.filter(|store| {
            let home = self.engine.settings.root.join("stores").join(store);
            let read = Description::read(&home);
            read.is_ok_and(|(description, _)| description.driver == slot.name)
        }));
        if names.is_empty() {
            return Ok(());
        }
        Err(Error::Busy(format!(
            "driver `{}` is the driver of the store{} `{}`",
            slot.name,
            if names.len() > 1 { "s" } else { "" },
            names.join("`, `"),
        )))
    }

    /// The components of all builds that are kept.
    fn components(self, slot: &Slot) -> Vec<Vec<u8>> {
        let most = self.engine.runtime.limits().component_bytes;
        let shelf = self.shelf(&slot.name);
        let history = slot.history.lock().clone();
        let kept = history.kept().into_iter();
        let builds = kept.filter_map(|number| history.find(number));
        builds
            .filter_map(|build| shelf.component_of(&build.digest, most).ok())
            .collect()
    }
}
