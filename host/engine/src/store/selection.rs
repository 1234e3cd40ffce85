//! Which driver a store has whose request names none: the original's `New`.
//!
//! 1. A driver that was named for all such stores, in the environment or the configuration: it, or an error.
//! 2. The driver that has layers already: it, or an error; several are an error. The last of the list does not count, because
//!    it is what is taken when nothing else works. (As a setting the original's way: no choice, but a warning.)
//! 3. The first of a list that works. Only the three refusals of the original let the next one be tried.
//! 4. Any other driver that is loaded.
//!
//! Invariant: a driver that fails for any other reason than that it cannot work here is never passed over: layers
//! would seem to be gone.

use super::{Description, Stores};
use crate::settings::PriorDrivers;
use crate::{Class, Error, Result, StoreName};
use mica_text::with_causes;
use std::collections::BTreeSet;

/// A driver of Docker's that people ask for by name and that no component is here for.
struct Absent {
    name: &'static str,
    /// Its place in the original's list, if it is there.
    place: Option<u32>,
    /// What is lacking, or what to take instead.
    lacking: &'static str,
}

const ABSENT: [Absent; 5] = [
    Absent {
        name: "aufs",
        place: Some(0),
        lacking: "no component for it is loaded",
    },
    Absent {
        name: "devicemapper",
        place: Some(2),
        lacking: "no component for it is loaded, and none could be: it needs block devices",
    },
    Absent {
        name: "zfs",
        place: None,
        lacking: "no component for it is loaded",
    },
    Absent {
        name: "overlay2",
        place: None,
        lacking: "it is called `overlay` here, and stacks any number of layers",
    },
    Absent {
        name: "fuse-overlayfs",
        place: None,
        lacking: "no component for it is loaded; `overlay` works in a user namespace, too",
    },
];

/// How far a search came.
struct Search<'a> {
    name: &'a StoreName,
    /// Describes the store with a driver.
    draft: &'a dyn Fn(&str) -> Description,
    tried: Vec<String>,
    absent: Vec<String>,
    refusals: Vec<String>,
}

impl Stores<'_> {
    /// Refuses a driver that is not loaded: one that Docker had as not supported, any other as unknown.
    pub(super) fn known_driver(self, driver: &str) -> Result<()> {
        let Err(unknown) = self.engine.registry.get(driver) else {
            return Ok(());
        };
        let Some(Absent { lacking, .. }) = ABSENT.iter().find(|absent| absent.name == driver)
        else {
            return Err(unknown);
        };
        let facts = mica_sys::kernel_facts();
        let is_file_system = matches!(driver, "aufs" | "zfs");
        let kernel = if is_file_system && !facts.has_filesystem(driver) {
            format!(", and the kernel has no {driver} file system")
        } else {
            String::new()
        };
        Err(Error::NotSupported(format!(
            "`{driver}`: {lacking}{kernel}"
        )))
    }

    /// The driver that someone named for all stores that name none themselves.
    ///
    /// # Errors
    /// [`Error::UnknownDriver`], [`Error::NotSupported`] when there is no such driver.
    pub fn named_driver(self) -> Result<Option<String>> {
        let Some((_, asked)) = self.engine.settings.selection.named.first() else {
            return Ok(None);
        };
        let driver = self.called_here(asked);
        self.known_driver(driver)?;
        Ok(Some(driver.to_owned()))
    }

    /// What a driver that was named for Docker is called here: machines have `DOCKER_DRIVER=overlay2` set for all.
    fn called_here(self, asked: &str) -> &str {
        if asked == "overlay2" && self.engine.registry.get(asked).is_err() {
            return "overlay";
        }
        asked
    }

    /// Makes a store with the driver that is to be taken when none is named.
    pub(super) fn make_of_choice(
        self,
        name: &StoreName,
        draft: &dyn Fn(&str) -> Description,
    ) -> Result<()> {
        let mut search = Search {
            name,
            draft,
            tried: Vec::new(),
            absent: Vec::new(),
            refusals: Vec::new(),
        };
        if let Some((place, asked)) = self.engine.settings.selection.named.first() {
            let driver = self.called_here(asked);
            let reason = if driver == asked {
                format!("named by {place}")
            } else {
                format!("named `{asked}` by {place}")
            };
            return self.take(&search, driver, reason);
        }
        let prior = self.prior_drivers();
        if self.engine.settings.selection.prior == PriorDrivers::Choose {
            match prior.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] => {}
                [only] => return self.take(&search, only, "it has layers here already".to_owned()),
                ref several => return Err(self.several(name, several)),
            }
        }
        let loaded = self.engine.registry.all();
        let loaded = loaded.iter().map(|slot| slot.name.as_str());
        for driver in self.order().into_iter().chain(loaded) {
            if self.works(&mut search, driver)? {
                return Ok(());
            }
        }
        Err(Error::NotSupported(format!(
            "no supported storage backend found for store `{name}` below `{}`: {}; not loaded: {}",
            self.engine.settings.root.display(),
            search.refusals.join("; "),
            search.absent.join(", ")
        )))
    }

    /// The original's list, in its order.
    fn order(&self) -> Vec<&str> {
        let absent = ABSENT.iter();
        let absent = absent.filter_map(|absent| Some((absent.place?, absent.name)));
        let known = self.engine.settings.selection.order.iter();
        let known = known.map(|(place, name)| (*place, name.as_str()));
        let mut order: Vec<_> = absent.chain(known).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, name)| name).collect()
    }

    /// Takes a driver, and no other if it fails.
    fn take(self, search: &Search<'_>, driver: &str, reason: String) -> Result<()> {
        let store = search.name;
        self.make(store, (search.draft)(driver).because(&reason))?;
        tracing::info!(%store, driver, reason, "made a store with the driver of choice");
        if self.engine.settings.selection.prior == PriorDrivers::Warn {
            let mut others = self.prior_drivers();
            others.remove(driver);
            if !others.is_empty() {
                let (root, others) = (self.engine.settings.root.display(), list(others));
                tracing::warn!(
                    "graphdriver `{driver}` selected; `{root}` already contains data managed by other graphdrivers: {others}"
                );
            }
        }
        Ok(())
    }

    /// Tries a driver; says no if it cannot work here.
    fn works(self, search: &mut Search<'_>, driver: &str) -> Result<bool> {
        if search.tried.iter().any(|tried| tried == driver) {
            return Ok(false);
        }
        search.tried.push(driver.to_owned());
        if self.engine.registry.get(driver).is_err() {
            search.absent.push(driver.to_owned());
            return Ok(false);
        }
        let reason = if search.refusals.is_empty() {
            "the first of the list that is loaded".to_owned()
        } else {
            format!("the first that works; {}", search.refusals.join("; "))
        };
        match self.take(search, driver, reason) {
            Ok(()) => Ok(true),
            // The original's ErrNotSupported, ErrPrerequisites and ErrIncompatibleFS.
            Err(error) if error.class() == Class::NotSupported => {
                let refusal = format!("{driver}: {}", with_causes(&error));
                tracing::info!(driver, refusal, "the driver does not work here");
                search.refusals.push(refusal);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The drivers that have layers, but for the one that always works.
    fn prior_drivers(self) -> BTreeSet<String> {
        let stores = self.all();
        let with_layers = stores
            .iter()
            .filter(|store| store.layers.table().len() > 0)
            .map(|store| store.description.driver.clone());
        let last = self.order().pop();
        with_layers
            .filter(|driver| Some(driver.as_str()) != last)
            .collect()
    }

    fn several(self, name: &StoreName, drivers: &[&str]) -> Error {
        Error::Invalid(format!(
            "`{}` contains layers of several graphdrivers: {}; name the driver of store `{name}`",
            self.engine.settings.root.display(),
            drivers.join(", ")
        ))
    }
}

fn list(names: BTreeSet<String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(",")
}
