//! Components become drivers.
//!
//! ```text
//! <root>/drivers/<name>.wasm   a build that was loaded or swapped in; it wins over the embedded ones and those of
//!                              the drivers directory
//! ```
//!
//! Invariant: what is kept there was loaded at least once; a component that cannot be loaded hides no other.

use super::active::{Active, Build};
use super::candidates::{Candidate, Candidates};
use super::view::origin_word;
use super::{Drivers, Slot};
use crate::disk::files;
use crate::event::News;
use crate::settings::{DriverSource, Durability, Origin};
use crate::view::DriverView;
use crate::{Error, EventKind, Result, driver_error};
use mica_runtime::{CancelToken, Generation, Grants};
use mica_text::with_causes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
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
        let slot = self.engine.registry.get(&name).ok();
        if slot.as_ref().is_some_and(|slot| slot.active().is_ok()) {
            return Err(Error::DriverExists(name));
        }
        self.keep_build(&name, &build)?;
        let active = Active::new(generation, build, 1);
        match slot {
            // Nothing that has its name can be compiled.
            Some(slot) => slot.replace(active),
            None => self.add(self.slot(&name).filled(active))?,
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
        let kept = self.kept_sources()?;
        for source in self.engine.settings.drivers.iter().chain(&kept) {
            let (name, candidate) = match &source.name {
                Some(name) => (name.clone(), Candidate::Source(source.clone())),
                None => match self.loaded(source) {
                    Some((name, loaded)) => (name, Candidate::Loaded(loaded)),
                    None => continue,
                },
            };
            found.entry(name).or_default().push(candidate);
        }
        for (name, candidates) in found {
            let waits = match candidates.last() {
                Some(Candidate::Source(source)) => !self.engine.runtime.is_compiled(&source.bytes),
                Some(Candidate::Loaded(_)) | None => false,
            };
            let candidates = Candidates::new(self.engine, &name, candidates);
            let slot = self.slot(&name).fed_by(Box::new(candidates));
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

    fn kept_path(self, name: &str) -> PathBuf {
        self.engine
            .settings
            .root
            .join("drivers")
            .join(format!("{name}.wasm"))
    }

    /// Lets a build survive a restart, or lets the next start find the one that it comes from.
    pub(super) fn keep_build(self, name: &str, build: &Build) -> Result<()> {
        let path = self.kept_path(name);
        let kept = match build.origin {
            Origin::Uploaded => files::replace(&path, &build.bytes, Durability::Commit),
            // A kept one would win at the next start over the one that runs now.
            Origin::Embedded | Origin::Directory(_) => files::remove(&path),
        };
        kept.map_err(|error| Error::path("keep component", &path, error))
    }

    fn kept_sources(self) -> Result<Vec<DriverSource>> {
        let directory = self.engine.settings.root.join("drivers");
        files::make_directory(&directory)
            .map_err(|error| Error::path("make", &directory, error))?;
        let entries = std::fs::read_dir(&directory)
            .map_err(|error| Error::path("list", &directory, error))?;
        let mut sources = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(|error| Error::path("list", &directory, error))?
                .path();
            if path.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            let most = self.engine.runtime.limits().component_bytes;
            let bytes = match files::read_component(&path, most) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Nobody but an operator puts anything else there.
                    let detail = format!("`{}` is not loaded: {error}", path.display());
                    self.engine
                        .report(News::new(EventKind::DriverFailed), None, detail);
                    continue;
                }
            };
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned);
            sources.push(DriverSource {
                name,
                bytes: Cow::Owned(bytes),
                origin: Origin::Uploaded,
            });
        }
        Ok(sources)
    }
}

fn describe_origin(origin: &Origin) -> String {
    match origin {
        Origin::Directory(path) => path.display().to_string(),
        Origin::Embedded | Origin::Uploaded => origin_word(origin).to_owned(),
    }
}
