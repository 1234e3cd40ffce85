//! Components become drivers.
//!
//! ```text
//! <root>/drivers/<name>.wasm   a build that was loaded or swapped in; it wins over the embedded ones and those of
//!                              the drivers directory
//! ```
//!
//! Invariant: what is kept there was loaded at least once; a component that cannot be loaded hides no other.

use super::view::origin_word;
use super::{Active, Build, Drivers, Slot};
use crate::disk::files;
use crate::error::explained;
use crate::event::News;
use crate::settings::{DriverSource, Durability, Origin};
use crate::view::DriverView;
use crate::{Error, EventKind, Result, driver_error};
use mica_runtime::{CancelToken, Error as DriverError, Generation, Grants};
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
        if self.engine.registry.get(&name).is_ok() {
            return Err(Error::DriverExists(name));
        }
        self.keep_build(&name, &build)?;
        self.add_slot(generation, build)?;
        self.engine
            .bus
            .tell(News::new(EventKind::DriverLoaded).driver(&name));
        self.try_stores_again(&name);
        self.get(&name)
    }

    /// Loads the drivers of the settings and those that were kept. The later of two with one name wins.
    pub(crate) fn load_known(self) -> Result<()> {
        let mut found: BTreeMap<String, Loaded> = BTreeMap::new();
        let kept = self.kept_sources()?;
        for source in self.engine.settings.drivers.iter().chain(&kept) {
            let DriverSource {
                name,
                bytes,
                origin,
            } = source;
            let (bytes, origin_again) = (bytes.clone(), origin.clone());
            let nobody = CancelToken::default();
            match self.load_build(bytes, origin_again, name.as_deref(), &nobody) {
                Ok(loaded) => drop(found.insert(loaded.0.description().name.clone(), loaded)),
                Err(error) => {
                    let shown = name.clone().unwrap_or_else(|| describe_origin(origin));
                    let news = News::new(EventKind::DriverFailed).driver(&shown);
                    self.engine.report(
                        news,
                        None,
                        format!("driver `{shown}` is not loaded: {}", explained(&error)),
                    );
                }
            }
        }
        found
            .into_values()
            .try_for_each(|(generation, build)| self.add_slot(generation, build))
    }

    fn add_slot(self, generation: Arc<Generation>, build: Build) -> Result<()> {
        let name = generation.description().name.clone();
        let active = Active::new(generation, build, 1);
        self.engine.registry.add(Arc::new(Slot::new(
            &name,
            self.grants_of(&name),
            active,
            self.engine.runtime.limits(),
            &self.engine.gates,
        )))
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

/// Says whether a driver refused a machine rather than failed.
pub(super) fn is_refusal(error: &DriverError) -> bool {
    matches!(
        error,
        DriverError::NotSupported(_)
            | DriverError::Prerequisites(_)
            | DriverError::IncompatibleFs(_)
    )
}
