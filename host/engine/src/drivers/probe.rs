//! Tries a build before it is trusted with real layers.
//!
//! Invariant: a store of its own, on the file system of the real ones, that is deleted afterwards.

use super::Drivers;
use crate::disk::home::{Record, Syncing};
use crate::layers::{LayerSet, Owner};
use crate::store::{Call, Intent, Scope};
use crate::{Error, LayerId, Result, driver_error};
use mica_runtime::{Access, CreateOptions, Error as DriverError, Generation, LayerKind};
use std::sync::Arc;

impl Drivers<'_> {
    /// Lets a build make, mount and remove a layer, with the options of each store that it is to serve.
    pub(super) fn probe(self, generation: &Generation) -> Result<()> {
        let driver = generation.description().name.clone();
        let stores = self.engine.stores().all();
        let mut wanted: Vec<&Vec<(String, String)>> = Vec::new();
        for store in &stores {
            let store = &store.description;
            if store.driver == driver && !wanted.contains(&&store.options) {
                wanted.push(&store.options);
            }
        }
        for options in &wanted {
            self.probe_with(generation, options.to_vec())
                .map_err(|failed| failed.explain(&driver))?;
        }
        if wanted.is_empty() {
            let probed = self.probe_with(generation, Vec::new());
            // No store depends on it, so that it cannot work here is for whoever makes one to learn.
            if let Err(Failed::Driver(_, error)) = &probed
                && error.is_refusal()
            {
                return Ok(());
            }
            probed.map_err(|failed| failed.explain(&driver))?;
        }
        Ok(())
    }

    fn probe_with(
        self,
        generation: &Generation,
        options: Vec<(String, String)>,
    ) -> std::result::Result<(), Failed> {
        let scratch = self.engine.stores().scratch().map_err(Failed::Host)?;
        let driver = generation.description().name.clone();
        let owner = Owner {
            store: "probe".to_owned(),
            driver,
            options,
        };
        let layers = LayerSet::open_scratch(owner, &scratch.path, &self.engine.reaper)
            .map_err(Failed::Host)?;
        let id = LayerId::parse("probe").map_err(Failed::Host)?;
        let probe = Probe {
            generation,
            layers: &layers,
            id: &id,
        };
        let done = probe.run();
        // The last use of the scratch directory's home: only then can the reaper empty it.
        drop(layers);
        self.engine.reaper.settle();
        done
    }
}

/// Why a build is not trusted.
enum Failed {
    Driver(&'static str, DriverError),
    Host(Error),
}

impl Failed {
    fn explain(self, driver: &str) -> Error {
        match self {
            Self::Host(error) => error,
            Self::Driver(step, error) => {
                let cause = driver_error::translate(driver, step, error);
                Error::DriverRejected {
                    reason: format!("it failed in a scratch store: {cause}"),
                    remedy: "the running build stays; repair the new one and swap again".to_owned(),
                }
            }
        }
    }
}

struct Probe<'a> {
    generation: &'a Generation,
    layers: &'a Arc<LayerSet>,
    id: &'a LayerId,
}

impl Probe<'_> {
    fn scope(&self, intent: Intent) -> Arc<Scope> {
        Scope::layer(self.layers, self.id, intent)
    }

    fn run(&self) -> std::result::Result<(), Failed> {
        let (generation, id) = (self.generation, self.id.as_str());
        let operation = |name, scope: &Arc<Scope>| Call::new(name, Arc::clone(scope)).operation();
        let failed = |step| move |error| Failed::Driver(step, error);
        let store = Scope::store(self.layers);
        generation
            .init(operation("init", &store), &self.layers.options)
            .map_err(failed("init"))?;
        self.create()?;
        let view = self.scope(Intent::View(Access::ReadWrite));
        let mount = generation
            .get(operation("get", &view), id, Access::ReadWrite, None)
            .map_err(failed("get"))?;
        // Never attached, so it is gone with its descriptor.
        drop(mount);
        let look = self.scope(Intent::Look);
        generation
            .put(operation("put", &look), id)
            .map_err(failed("put"))?;
        let removal = self.scope(Intent::Remove);
        generation
            .remove(operation("remove", &removal), id)
            .map_err(failed("remove"))?;
        if !removal.is_discarded() {
            return Err(Failed::Driver(
                "remove",
                DriverError::Trapped("it discarded no layer".into()),
            ));
        }
        self.layers
            .discard(self.id, Syncing::Now)
            .map_err(Failed::Host)
    }

    fn create(&self) -> std::result::Result<(), Failed> {
        let kind = LayerKind::Content;
        let scope = self.scope(Intent::Create(None, kind));
        let operation = Call::new("create", Arc::clone(&scope)).operation();
        let created = self.generation.create(
            operation,
            self.id.as_str(),
            None,
            kind,
            &CreateOptions::default(),
            None,
        );
        created.map_err(|error| Failed::Driver("create", error))?;
        let nothing = || {
            Failed::Driver(
                "create",
                DriverError::Trapped("it published no layer".into()),
            )
        };
        let staged = scope.take_published().ok_or_else(nothing)?;
        let record = Record::new(self.id.clone(), None, kind, &self.layers.driver);
        self.layers
            .publish(staged, record, Syncing::Now)
            .map_err(Failed::Host)
    }
}
