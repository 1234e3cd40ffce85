//! Components become drivers.
//!
//! What a start takes for a name, in this order: the active build of the record below `<root>/drivers`, unless that says that
//! it is what ships; a file of the drivers directory; the driver of the program. See `history.rs` for the record.
//!
//! Invariant: what is kept was loaded at least once; a component that cannot be loaded hides no other.

use super::active::{Active, Build};
use super::candidates::{Candidate, Candidates};
use super::history::History;
use super::view::origin_word;
use super::{Drivers, Slot};
use crate::disk::files;
use crate::event::News;
use crate::settings::{DriverSource, Origin};
use crate::view::DriverView;
use crate::{Error, EventKind, Result, driver_error};
use mica_runtime::{CancelToken, Generation, Grants, digest_of};
use mica_text::with_causes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A component that was loaded, and what it was loaded from.
pub(super) type Loaded = (Arc<Generation>, Build);

impl Drivers<'_> {
    /// Loads a component into a new slot.
    pub(super) fn load_new(
        self,
        bytes: &[u8],
        expected_name: Option<&str>,
        cancel: &CancelToken,
    ) -> Result<DriverView> {
        let bytes = Cow::Owned(bytes.to_vec());
        let (generation, build) =
            self.load_build(bytes, Origin::Uploaded, expected_name, cancel)?;
        let name = generation.description().name.clone();
        let free_slot = || {
            let slot = self.engine.registry.get(&name).ok();
            match slot.as_ref().is_some_and(|slot| slot.active().is_ok()) {
                true => Err(Error::DriverExists(name.clone())),
                false => Ok(slot),
            }
        };
        free_slot()?;
        // Before the lock, because nobody knows how long it takes.
        self.probe(&generation, None)?;
        let _loading = self.engine.registry.loading.lock();
        let slot = free_slot()?;
        let shelf = self.shelf(&name);
        shelf.keep(&build)?;
        let version = generation.description().version.to_string();
        let recorded = |slot: &Slot| {
            self.record(slot, |history| {
                history.enter(&build, &version);
                history.prove();
                history.follows_shipped = false;
            })
        };
        match slot {
            // Nothing that has its name can be compiled.
            Some(slot) => {
                let _changing = slot.changing.lock();
                recorded(&slot)?;
                slot.replace(Active::new(generation, build, slot.next_number()), None);
            }
            None => {
                let slot = self.slot(&name);
                recorded(&slot)?;
                self.add(slot.filled(Active::new(generation, build, 1)))?;
            }
        }
        self.engine
            .bus
            .tell(News::new(EventKind::DriverLoaded).driver(&name));
        self.try_stores_again(&name);
        self.get(&name)
    }

    /// Finds the drivers of the settings and those that were kept. The later of two with one name wins. What has to be
    /// compiled, and has a name before it is, waits until someone needs it.
    pub(crate) fn load_known(self) -> Result<()> {
        let mut found: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for source in &self.engine.settings.drivers {
            let (name, candidate) = match &source.name {
                Some(name) => (name.clone(), Candidate::Source(source.clone())),
                None => match self.loaded(source) {
                    Some((name, loaded)) => (name, Candidate::Loaded(loaded)),
                    None => continue,
                },
            };
            found.entry(name).or_default().push(candidate);
        }
        let mut kept = self.kept()?;
        for name in kept.keys() {
            found.entry(name.clone()).or_default();
        }
        for (name, mut candidates) in found {
            let shipped = candidates.last().map(Candidate::origin).cloned();
            let history = kept.remove(&name).unwrap_or_default();
            candidates.extend(self.kept_candidate(&name, &history));
            if candidates.is_empty() {
                continue;
            }
            let waits = match candidates.last() {
                Some(Candidate::Source(source)) => !self.engine.runtime.is_compiled(&source.bytes),
                Some(Candidate::Loaded(_)) | None => false,
            };
            let candidates = Candidates::new(self.engine, &name, candidates);
            let slot = self.slot(&name).known(shipped, history);
            let slot = slot.fed_by(Box::new(candidates));
            // One that is compiled already costs nothing to load, and what is wrong with it is told at once.
            let refused = !waits && matches!(slot.active(), Err(Error::DriverRejected { .. }));
            // One that nothing can be loaded from was told, and is not there.
            if !refused {
                self.add(slot)?;
            }
        }
        Ok(())
    }

    /// Loads a component that has no name before it is asked.
    fn loaded(self, source: &DriverSource) -> Option<(String, Loaded)> {
        let nobody = CancelToken::default();
        match self.load_build(source.bytes.clone(), source.origin.clone(), None, &nobody) {
            Ok(loaded) => Some((loaded.0.description().name.clone(), loaded)),
            Err(error) => {
                self.report_unloaded(&describe_origin(&source.origin), &error);
                None
            }
        }
    }

    /// Tells that a component cannot be loaded.
    pub(super) fn report_unloaded(self, shown: &str, error: &Error) {
        let news = News::new(EventKind::DriverFailed).driver(shown);
        let detail = format!("driver `{shown}` is not loaded: {}", with_causes(error));
        self.engine.report(news, None, detail);
    }

    fn slot(self, name: &str) -> Slot {
        let limits = self.engine.runtime.limits();
        Slot::new(name, self.grants_of(name), limits, &self.engine.gates)
    }

    fn add(self, slot: Slot) -> Result<()> {
        self.engine.registry.add(Arc::new(slot))
    }

    fn grants_of(self, name: &str) -> Grants {
        let given = self.engine.settings.grants.get(name);
        given
            .or_else(|| self.engine.settings.usual_grants.get(name))
            .cloned()
            .unwrap_or_default()
    }

    /// Loads a component with the grants of its name. Where only the component itself can tell that, it is asked first,
    /// with everything linked and no store to use it on.
    pub(super) fn load_build(
        self,
        bytes: Cow<'static, [u8]>,
        origin: Origin,
        expected_name: Option<&str>,
        cancel: &CancelToken,
    ) -> Result<Loaded> {
        let explain = |error| {
            driver_error::translate(expected_name.unwrap_or("?"), "load the component", error)
        };
        // The name decides the grants, and only the component tells its name: it runs `describe` with everything linked, but
        // no store.
        let assumed = expected_name.map_or_else(Grants::all, |name| self.grants_of(name));
        let mut generation = self
            .engine
            .runtime
            .load(&bytes, &assumed, cancel)
            .map_err(explain)?;
        let name = generation.description().name.clone();
        if let Some(expected) = expected_name.filter(|expected| *expected != name) {
            let reason = format!("it calls itself `{name}`, not `{expected}`");
            return Err(Error::DriverRejected {
                reason,
                remedy: format!("load it as `{name}`"),
            });
        }
        let grants = self.grants_of(&name);
        // Linked anew, because the linker is what refuses: a generation keeps what it was linked with.
        if grants != assumed {
            generation = self
                .engine
                .runtime
                .load(&bytes, &grants, cancel)
                .map_err(explain)?;
        }
        let digest = generation.digest().to_owned();
        Ok((
            generation,
            Build {
                bytes,
                origin,
                digest,
            },
        ))
    }

    /// The records of drivers that were loaded or swapped. One that cannot be read is told, and what ships is taken.
    fn kept(self) -> Result<BTreeMap<String, History>> {
        let directory = self.engine.settings.root.join("drivers");
        files::make_directory(&directory)
            .map_err(|error| Error::path("make", &directory, error))?;
        let entries = std::fs::read_dir(&directory)
            .map_err(|error| Error::path("list", &directory, error))?;
        let mut kept = BTreeMap::new();
        for entry in entries {
            let path = entry
                .map_err(|error| Error::path("list", &directory, error))?
                .path();
            let read = match path.is_dir() {
                true => self.kept_in(&path),
                false => self.kept_earlier(&path),
            };
            match read {
                Ok(read) => kept.extend(read),
                Err(error) => {
                    let detail = format!(
                        "`{}` is not loaded: {}",
                        path.display(),
                        with_causes(&error)
                    );
                    self.engine
                        .report(News::new(EventKind::DriverFailed), None, detail);
                }
            }
        }
        Ok(kept)
    }

    fn kept_in(self, path: &Path) -> Result<Option<(String, History)>> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        let shelf = self.shelf(name);
        let history = shelf.read()?;
        if let Some(history) = &history {
            shelf.tidy(history);
        }
        Ok(history.map(|history| (name.to_owned(), history)))
    }

    /// Takes over what a build of Mica kept that had no records: a component that an operator loaded.
    fn kept_earlier(self, path: &Path) -> Result<Option<(String, History)>> {
        let is_component = path.extension().is_some_and(|ending| ending == "wasm");
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let Some(name) = name.filter(|_| is_component) else {
            return Ok(None);
        };
        let shelf = self.shelf(name);
        if shelf.read()?.is_some() {
            // It was taken over, and only its removal did not last.
            files::remove(path).map_err(|error| Error::path("remove", path, error))?;
            return Ok(None);
        }
        let bytes = self.read_component(path)?;
        let mut history = History::default();
        let digest = digest_of(&bytes);
        let build = Build {
            bytes,
            origin: Origin::Uploaded,
            digest,
        };
        history.enter(&build, "?");
        history.prove();
        shelf.keep(&build)?;
        shelf.write(&History::default(), &history)?;
        files::remove(path).map_err(|error| Error::path("remove", path, error))?;
        Ok(Some((name.to_owned(), history)))
    }

    /// The component that a record says is active, unless that is what ships.
    fn kept_candidate(self, name: &str, history: &History) -> Option<Candidate> {
        let active = history.active().filter(|_| !history.follows_shipped)?;
        let most = self.engine.runtime.limits().component_bytes;
        match self.shelf(name).component_of(&active.digest, most) {
            Ok(bytes) => Some(Candidate::Source(DriverSource {
                name: Some(name.to_owned()),
                bytes: Cow::Owned(bytes),
                origin: active.origin.clone(),
            })),
            Err(error) => {
                self.report_unloaded(name, &error);
                None
            }
        }
    }
}

fn describe_origin(origin: &Origin) -> String {
    match origin {
        Origin::Directory(path) => path.display().to_string(),
        Origin::Embedded | Origin::Uploaded => origin_word(origin).to_owned(),
    }
}
