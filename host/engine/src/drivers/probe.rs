//! Tries a build before it is trusted with real layers.
//!
//! Every build makes, mounts and removes a layer. One that is to take another's place also does what that does with layers that
//! are filled, and must come to the same; and the build that runs must be able to show what the new one makes, or there would be no
//! way back.
//!
//! Invariant: a store of its own, on the file system of the real ones, that is deleted afterwards.

use super::question::Question;
use super::{Agreement, Drivers};
use crate::disk::home::{Record, Syncing};
use crate::layers::{LayerSet, Owner};
use crate::store::{Call, Intent, Scope, Verb};
use crate::{Error, LayerId, Result, driver_error};
use mica_runtime::{
    Access, ArchiveForm, CreateOptions, Error as DriverError, Generation, LayerKind, Source,
};
use std::io::Cursor;
use std::sync::Arc;

mod archive;

/// What a build did with layers that are filled: questions with answers.
type Transcript = Vec<(&'static str, String)>;
/// A step of a probe.
type Step<T> = std::result::Result<T, Failed>;

impl Drivers<'_> {
    /// Lets a build make, mount and remove layers, with the options of each store that it is to serve, and compares it with
    /// the build before, if that is given.
    pub(super) fn probe(
        self,
        new: &Generation,
        before: Option<(&Generation, Agreement)>,
    ) -> Result<()> {
        let driver = new.description().name.clone();
        let old = before.and_then(|(old, agreement)| {
            let is_compared = agreement == Agreement::Required;
            is_compared.then_some(old)
        });
        let stores = self.engine.stores().all();
        let mut wanted: Vec<&Vec<(String, String)>> = Vec::new();
        for store in &stores {
            let store = &store.description;
            if store.driver == driver && !wanted.contains(&&store.options) {
                wanted.push(&store.options);
            }
        }
        for options in &wanted {
            self.probe_with(new, old, options)
                .map_err(|failed| failed.explain(&driver))?;
        }
        if wanted.is_empty() {
            let probed = self.probe_with(new, old, &[]);
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
        new: &Generation,
        old: Option<&Generation>,
        options: &[(String, String)],
    ) -> Step<()> {
        // What the build before cannot do is not asked of the new one.
        let of_old = match old {
            None => None,
            Some(old) => {
                let filled = |probe: &Probe<'_>| probe.run(Depth::Filled(None));
                match self.in_scratch(old, options, filled) {
                    Ok(transcript) => Some((old, transcript)),
                    Err(Failed::Host(error)) => return Err(Failed::Host(error)),
                    Err(Failed::Driver(..) | Failed::Otherwise(_)) => None,
                }
            }
        };
        let Some((old, of_old)) = of_old else {
            return self.in_scratch(new, options, |probe| probe.run(Depth::Empty).map(drop));
        };
        let of_new = self.in_scratch(new, options, |probe| probe.run(Depth::Filled(Some(old))))?;
        let mut both = of_new.into_iter().zip(of_old);
        match both.find(|((_, new), (_, old))| new != old) {
            None => Ok(()),
            Some(((question, new), (_, old))) => Err(Failed::Otherwise(format!(
                "{question}: the new build: {new}; the build before: {old}"
            ))),
        }
    }

    fn in_scratch<T>(
        self,
        generation: &Generation,
        options: &[(String, String)],
        run: impl FnOnce(&Probe<'_>) -> Step<T>,
    ) -> Step<T> {
        let scratch = self.engine.stores().scratch().map_err(Failed::Host)?;
        let owner = Owner {
            store: "probe".to_owned(),
            driver: generation.description().name.clone(),
            options: options.to_vec(),
        };
        let layers = LayerSet::open_scratch(owner, &scratch.path, &self.engine.reaper)
            .map_err(Failed::Host)?;
        let done = run(&Probe {
            generation,
            layers: &layers,
        });
        // The last use of the scratch directory's home: only then can the reaper empty it.
        drop(layers);
        self.engine.reaper.settle();
        done
    }
}

/// Why a build is not trusted.
enum Failed {
    Driver(&'static str, DriverError),
    Otherwise(String),
    Host(Error),
}

impl Failed {
    fn explain(self, driver: &str) -> Error {
        let reason = match self {
            Self::Host(error) => return error,
            Self::Driver(step, error) => {
                let cause = driver_error::translate(driver, step, error);
                format!("it failed in a scratch store: {cause}")
            }
            Self::Otherwise(what) => format!("it does otherwise in a scratch store: {what}"),
        };
        Error::DriverRejected {
            reason,
            remedy: "the running build stays; repair the new one and swap again".to_owned(),
        }
    }
}

/// How much a build has to do.
#[derive(Clone, Copy)]
enum Depth<'a> {
    /// Layers without content.
    Empty,
    /// Layers with content too, which another build may have to show.
    Filled(Option<&'a Generation>),
}

struct Probe<'a> {
    generation: &'a Generation,
    layers: &'a Arc<LayerSet>,
}

impl Probe<'_> {
    fn run(&self, depth: Depth<'_>) -> Step<Transcript> {
        let base = LayerId::parse("probe").map_err(Failed::Host)?;
        let child = LayerId::parse("probe-child").map_err(Failed::Host)?;
        let store = Scope::store(self.layers);
        self.generation
            .init(operation(Verb::Init, &store), &self.layers.options)
            .map_err(|error| Failed::Driver("init", error))?;
        self.create(&base, None)?;
        let transcript = match depth {
            Depth::Empty => {
                self.mount(&base)?;
                Transcript::new()
            }
            Depth::Filled(other) => {
                self.apply(&base, None, archive::lower())?;
                self.create(&child, Some(&base))?;
                self.apply(&child, Some(&base), archive::upper())?;
                self.mount(&child)?;
                let transcript = self.look(&base, &child)?;
                if let Some(other) = other {
                    self.show_to(other, [&base, &child])?;
                }
                self.remove(&child)?;
                transcript
            }
        };
        self.remove(&base)?;
        Ok(transcript)
    }

    fn create(&self, id: &LayerId, parent: Option<&LayerId>) -> Step<()> {
        let kind = LayerKind::Content;
        let scope = Scope::layer(self.layers, id, Intent::Create(parent.cloned(), kind));
        let (operation, options) = (operation(Verb::Create, &scope), CreateOptions::default());
        let below = parent.map(LayerId::as_str);
        let created = self
            .generation
            .create(operation, id.as_str(), below, kind, &options, None);
        created.map_err(|error| Failed::Driver("create", error))?;
        let staged = scope
            .take_published()
            .ok_or_else(|| broken("create", "it published no layer"))?;
        let record = Record::new(id.clone(), parent.cloned(), kind, &self.layers.driver);
        let published = self.layers.publish(staged, record, Syncing::Now);
        published.map_err(Failed::Host)
    }

    fn apply(&self, id: &LayerId, parent: Option<&LayerId>, archive: Vec<u8>) -> Step<()> {
        let number = self
            .layers
            .table()
            .get(id.as_str())
            .map(|entry| entry.number);
        let number = number.ok_or_else(|| Failed::Host(self.layers.unknown(id)))?;
        let copy = self.layers.copy(id, number).map_err(Failed::Host)?;
        let scope = Scope::layer(self.layers, id, Intent::Apply(copy));
        let source = Source::from_reader(Box::new(Cursor::new(archive)));
        let (operation, below) = (operation(Verb::Apply, &scope), parent.map(LayerId::as_str));
        self.generation
            .apply_diff(operation, id.as_str(), below, ArchiveForm::Faithful, source)
            .map_err(|error| Failed::Driver("apply", error))?;
        match scope.into_copy() {
            Some(copy) => self.layers.replace(copy, id).map_err(Failed::Host),
            None => Err(broken("apply", "the copy of the layer is still in use")),
        }
    }

    fn mount(&self, id: &LayerId) -> Step<()> {
        let access = Access::ReadWrite;
        let view = Scope::layer(self.layers, id, Intent::View(access));
        let mount = self
            .generation
            .get(operation(Verb::Get, &view), id.as_str(), access, None)
            .map_err(|error| Failed::Driver("get", error))?;
        drop(mount);
        let look = Scope::layer(self.layers, id, Intent::Look);
        self.generation
            .put(operation(Verb::Put, &look), id.as_str())
            .map_err(|error| Failed::Driver("put", error))
    }

    fn remove(&self, id: &LayerId) -> Step<()> {
        let removal = Scope::layer(self.layers, id, Intent::Remove);
        self.generation
            .remove(operation(Verb::Remove, &removal), id.as_str())
            .map_err(|error| Failed::Driver("remove", error))?;
        if !removal.is_discarded() {
            return Err(broken("remove", "it discarded no layer"));
        }
        let discarded = self.layers.discard(id, Syncing::Now);
        discarded.map_err(Failed::Host)
    }

    /// What can be asked about the layers.
    fn look(&self, base: &LayerId, child: &LayerId) -> Step<Transcript> {
        let above = Some(base.clone());
        let questions = [
            (
                base,
                "the archive of a layer",
                Question::Archive(None, ArchiveForm::Faithful),
            ),
            (
                child,
                "the archive of a layer on another",
                Question::Archive(above.clone(), ArchiveForm::Moby),
            ),
            (child, "its changes", Question::Changes(above.clone())),
            (child, "their size", Question::Size(above)),
        ];
        let mut transcript = Transcript::new();
        for (layer, what, question) in questions {
            let told = question.ask(self.generation, self.layers, layer);
            transcript.push((
                what,
                told.map_err(|error| Failed::Driver(question.name(), error))?,
            ));
        }
        Ok(transcript)
    }

    /// Whether another build shows what this one made, as this one does.
    fn show_to(&self, other: &Generation, made: [&LayerId; 2]) -> Step<()> {
        for layer in made {
            let of = |generation| Question::View.ask(generation, self.layers, layer);
            let Ok(own) = of(self.generation) else {
                continue;
            };
            let told = match of(other) {
                Ok(told) if told == own => continue,
                Ok(told) => told,
                Err(error) => error.to_string(),
            };
            return Err(Failed::Otherwise(format!(
                "the build before cannot show what it makes, so there would be no way back: {own}; the build before: {told}"
            )));
        }
        Ok(())
    }
}

fn operation(verb: Verb, scope: &Arc<Scope>) -> mica_runtime::Operation {
    Call::new(verb, Arc::clone(scope)).operation()
}

fn broken(step: &'static str, what: &str) -> Failed {
    Failed::Driver(step, DriverError::Trapped(what.into()))
}
