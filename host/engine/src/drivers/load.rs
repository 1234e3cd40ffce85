//! Components become drivers.
//!
//! What a start takes for a name, in this order: the active build of the record below `<root>/drivers`, unless that says that
//! it is what ships; a file of the drivers directory; the driver of the program. See `history.rs` for the record.
//!
//! Invariant: what is kept was loaded at least once; a component that cannot be loaded hides no other.

use super::active::{Active, Build};
use super::candidates::{Candidate, Candidates};
use super::grants::{self, Consent};
use super::history::History;
use super::trust::{Papers, Voucher};
use super::view::origin_word;
use super::{Drivers, Slot};
use crate::disk::files;
use crate::event::News;
use crate::settings::{DriverSource, Origin};
use crate::view::DriverView;
use crate::{Error, EventKind, Result, driver_error};
use mica_runtime::{CancelToken, Generation, Grant, Grants, digest_of};
use mica_text::with_causes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// A component that was loaded, and what it was loaded from.
pub(super) type Loaded = (Arc<Generation>, Build);

/// Under which name and with whose agreement a component is loaded.
#[derive(Debug, Default)]
pub(super) struct Terms<'a> {
    /// What it must call itself, if that is known.
    pub(super) name: Option<&'a str>,
    /// Interfaces that were approved for it before.
    pub(super) approved: BTreeSet<Grant>,
    /// What is approved now.
    pub(super) consent: Option<&'a Consent>,
    /// Records, for what was approved of a component that tells its name only when it is asked.
    pub(super) records: Option<&'a BTreeMap<String, History>>,
}

impl Drivers<'_> {
    /// Loads a component into a new slot.
    pub(super) fn load_new(
        self,
        bytes: &[u8],
        papers: Papers,
        (expected_name, consent): (Option<&str>, &Consent),
        cancel: &CancelToken,
    ) -> Result<DriverView> {
        let bytes = Cow::Owned(bytes.to_vec());
        let terms = Terms {
            name: expected_name,
            consent: Some(consent),
            ..Terms::default()
        };
        let from = (Origin::Uploaded, Voucher::Papers(papers));
        let (generation, build) = self.load_build(bytes, from, terms, cancel)?;
        let (approved, written) = (consent.approved(&generation), grants::writes(&generation));
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
                history.approved.clone_from(&approved);
                history.written.extend(written);
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
        let mut kept = self.kept()?;
        for source in &self.engine.settings.drivers {
            let (name, candidate) = match &source.name {
                Some(name) => (name.clone(), Candidate::Source(source.clone())),
                None => match self.loaded(source, &kept) {
                    Some((name, loaded)) => (name, Candidate::Loaded(loaded)),
                    None => continue,
                },
            };
            found.entry(name).or_default().push(candidate);
        }
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
                Some(Candidate::Source(source) | Candidate::Kept(source)) => {
                    !self.engine.runtime.is_compiled(&source.bytes)
                }
                Some(Candidate::Loaded(_)) | None => false,
            };
            let approved = history.approved.clone();
            let candidates = Candidates::new(self.engine, &name, candidates, approved);
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
    fn loaded(
        self,
        source: &DriverSource,
        records: &BTreeMap<String, History>,
    ) -> Option<(String, Loaded)> {
        let nobody = CancelToken::default();
        let terms = Terms {
            records: Some(records),
            ..Terms::default()
        };
        match self.load_source(source, terms, &nobody) {
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
        Slot::new(name, limits, &self.engine.gates)
    }

    fn add(self, slot: Slot) -> Result<()> {
        self.engine.registry.add(Arc::new(slot))
    }

    /// Loads a component that the daemon has read itself.
    pub(super) fn load_source(
        self,
        source: &DriverSource,
        terms: Terms<'_>,
        cancel: &CancelToken,
    ) -> Result<Loaded> {
        let (bytes, origin) = (source.bytes.clone(), source.origin.clone());
        let voucher = Voucher::of_origin(&origin, source.provenance.clone())?;
        self.load_build(bytes, (origin, voucher), terms, cancel)
    }

    /// Loads a component that was kept: it was judged when it came, and what lies beside the file that it came from may belong to
    /// another one by now.
    pub(super) fn load_kept(
        self,
        source: &DriverSource,
        terms: Terms<'_>,
        cancel: &CancelToken,
    ) -> Result<Loaded> {
        let voucher = Voucher::Judged(source.provenance.clone());
        let from = (source.origin.clone(), voucher);
        self.load_build(source.bytes.clone(), from, terms, cancel)
    }

    /// Loads a component, if who signed it is trusted, with the grants of its name. Where only the component itself can tell that, or what
    /// it asks for, it is asked first, with everything linked and no store to use it on.
    pub(super) fn load_build(
        self,
        bytes: Cow<'static, [u8]>,
        (origin, voucher): (Origin, Voucher),
        terms: Terms<'_>,
        cancel: &CancelToken,
    ) -> Result<Loaded> {
        // Before anything is made of it.
        let vouched = self.vouch(terms.name, &bytes, &voucher)?;
        let digest = digest_of(&bytes);
        let mut approved = terms.approved;
        let everything = terms.consent.is_some_and(|consent| consent.everything);
        approved.extend(terms.consent.map(Consent::interfaces).unwrap_or_default());
        let assumed = match terms.name {
            Some(name) if !everything => self.grants_of(name, &digest, &approved)?.0,
            _ => Grants::all(),
        };
        let load = |grants: &Grants, name: Option<&str>| {
            let loaded = self.engine.runtime.load(&bytes, grants, cancel);
            loaded.map_err(|error| {
                self.note_refusal(name, &error);
                driver_error::translate(name.unwrap_or("?"), "load the component", error)
            })
        };
        let mut generation = load(&assumed, terms.name)?;
        let name = generation.description().name.clone();
        if let Some(expected) = terms.name.filter(|expected| *expected != name) {
            let reason = format!("it calls itself `{name}`, not `{expected}`");
            return Err(Error::DriverRejected {
                reason,
                remedy: format!("load it as `{name}`"),
            });
        }
        let provenance = match terms.name {
            Some(_) => vouched,
            None => self.vouch(Some(&name), &bytes, &voucher)?,
        };
        let record = terms.records.and_then(|records| records.get(&name));
        approved.extend(record.iter().flat_map(|record| &record.approved));
        if let Some(consent) = terms.consent {
            self.check_manifest(generation.manifest().is_some())?;
            approved.extend(consent.approved(&generation));
        }
        let (grants, _) = self.grants_of(&name, &digest, &approved)?;
        // Linked anew, because the linker is what refuses: a generation keeps what it was linked with.
        if grants != assumed {
            generation = load(&grants, Some(&name))?;
        }
        self.note_excess(&generation);
        let build = Build {
            bytes,
            origin,
            provenance,
            digest,
        };
        Ok((generation, build))
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
            provenance: None,
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
            Ok(bytes) => Some(Candidate::Kept(DriverSource {
                name: Some(name.to_owned()),
                bytes: Cow::Owned(bytes),
                origin: active.origin.clone(),
                provenance: active.provenance.clone(),
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
