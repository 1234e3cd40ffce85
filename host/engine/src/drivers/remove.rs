//! A driver goes, with its builds.
//!
//! Invariant: its directory goes in one rename, which is the moment of it; until then nothing has changed, and from then on no
//! store can have the driver.

use super::swap::CHANGE_TIMEOUT;
use super::{Drivers, Slot};
use crate::event::News;
use crate::settings::Durability;
use crate::store::{Description, home_of};
use crate::{Error, EventKind, Result};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Stores that keep a driver from being removed.
pub(super) struct Users {
    /// Those that have it.
    pub(super) certain: Vec<String>,
    /// Those of which it cannot be told, because their description cannot be read.
    pub(super) possible: Vec<String>,
}

impl Drivers<'_> {
    /// Removes a driver that was loaded.
    pub(super) fn remove_driver(self, name: &str) -> Result<()> {
        let registry = &self.engine.registry;
        // In this order everywhere: names, the driver, then those that choose drivers for stores.
        let _loading = registry.loading.lock();
        let slot = registry.get(name)?;
        let _changing = self.changing(&slot)?;
        // A store gets its driver within the times that its driver may take; nobody waits behind this longer than that.
        let choosing = registry.choosing.try_write_for(CHANGE_TIMEOUT);
        let _choosing = choosing.ok_or_else(|| {
            Error::Busy(format!(
                "a store gets its driver just now, which may be `{name}`; try again"
            ))
        })?;
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
        self.sync_removal(&directory, &scratch.path);
        registry.remove(name);
        slot.insight.log.close();
        for component in components {
            self.engine.runtime.forget(&component);
        }
        let news = News::new(EventKind::DriverRemoved).driver(name);
        self.engine.bus.tell(news);
        Ok(())
    }

    /// Has the disk know that a driver's directory has gone, which has happened whatever comes of this.
    fn sync_removal(self, directory: &Path, scratch: &Path) {
        if self.engine.settings.durability == Durability::None {
            return;
        }
        for changed in [Some(scratch), directory.parent()].into_iter().flatten() {
            let synced = File::open(changed).and_then(|opened| opened.sync_all());
            if let Err(error) = synced {
                let path = changed.display();
                tracing::warn!(%path, %error, "a removed driver may be there again after a power failure");
            }
        }
    }

    /// Refuses a driver that stores have.
    fn check_unused(self, slot: &Slot) -> Result<()> {
        let Users { certain, possible } = self.users(&slot.name);
        let told = |names: &[String]| {
            let plural = if names.len() > 1 { "s" } else { "" };
            format!("store{plural} `{}`", names.join("`, `"))
        };
        let name = &slot.name;
        match (certain.is_empty(), possible.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(Error::Busy(format!(
                "driver `{name}` is the driver of the {}",
                told(&certain)
            ))),
            (true, false) => Err(Error::Busy(format!(
                "driver `{name}` may be the driver of the {}, which could not be opened and whose description cannot be read",
                told(&possible)
            ))),
        }
    }

    /// The stores that a driver cannot go for.
    pub(super) fn users(self, name: &str) -> Users {
        let stores = self.engine.stores();
        let open = stores.of_driver(name);
        let mut users = Users {
            certain: open.map(|store| store.name.as_str().to_owned()).collect(),
            possible: Vec::new(),
        };
        users.certain.extend(stores.moving_of_driver(name));
        // One that could not be opened may be put right, and then needs its driver.
        for (store, _) in stores.unopened() {
            let home = home_of(&self.engine.settings.root.join("stores"), &store);
            match Description::read(&home) {
                Ok((description, _)) if description.driver == name => users.certain.push(store),
                Ok(_) => {}
                // Whose it is cannot be told, so it may be this one's.
                Err(_) => users.possible.push(store),
            }
        }
        users
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
