//! Another build takes a driver's place while stores are in use.
//!
//! Load, check, probe, ask about layers that are there, compare calls if that is asked for, write the record, one atomic
//! store. Until the record is written nothing has changed; after it nothing can fail. Operations that run end on the build
//! that they began with, however long they take. Mounts are never touched.
//!
//! Invariant: no operation sees two builds' answers; of two swaps of one driver the second begins when the first is done.

use super::active::{Active, Build};
use super::ask::Pair;
use super::bake::Unwatched;
use super::history::History;
use super::load::Loaded;
use super::shelf::Shelf;
use super::view::world_word;
use super::{Agreement, Drivers, Shadow, Slot, SwapRequest};
use crate::disk::files;
use crate::event::News;
use crate::settings::Origin;
use crate::view::SwapReport;
use crate::{Error, EventKind, Result};
use mica_runtime::{CancelToken, Generation};
use parking_lot::MutexGuard;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a change of a driver's build waits for another one to end.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A component that is to take a driver's place.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) bytes: Cow<'static, [u8]>,
    pub(super) origin: Origin,
    pub(super) shadow: Option<Shadow>,
    pub(super) agreement: Agreement,
    /// Whether it served before, for as long as a build bakes.
    pub(super) is_proven: bool,
    /// Whether it is one of the builds that the history knows, so that it keeps its number.
    pub(super) is_known: bool,
}

impl Drivers<'_> {
    /// Puts another build in a driver's place.
    pub(super) fn replace_build(
        self,
        name: &str,
        request: SwapRequest<'_>,
        cancel: &CancelToken,
    ) -> Result<SwapReport> {
        let slot = self.engine.registry.get(name)?;
        let _changing = self.changing(&slot)?;
        let (bytes, origin) = match request.component {
            Some(bytes) => (Cow::Owned(bytes.to_vec()), Origin::Uploaded),
            None => self.source_again(&slot.active()?.build)?,
        };
        let change = Change {
            bytes,
            origin,
            shadow: request.shadow,
            agreement: request.agreement,
            is_proven: false,
            is_known: false,
        };
        self.change(&slot, change, cancel)
    }

    /// Takes the lock for changes of a driver's build.
    ///
    /// # Errors
    /// [`Error::Busy`] when another change goes on: one that compares calls may take an hour; [`Error::UnknownDriver`] when the
    /// driver was removed meanwhile.
    pub(super) fn changing<'s>(self, slot: &'s Slot) -> Result<MutexGuard<'s, ()>> {
        let changing = slot.changing.try_lock_for(CHANGE_TIMEOUT).ok_or_else(|| {
            Error::Busy(format!(
                "another build is about to take the place of driver `{}`; wait for that swap, or end it",
                slot.name
            ))
        })?;
        self.engine.registry.check_there(slot)?;
        Ok(changing)
    }

    /// Puts a component in a driver's place. The slot's lock for changes is held.
    pub(super) fn change(
        self,
        slot: &Slot,
        change: Change,
        cancel: &CancelToken,
    ) -> Result<SwapReport> {
        let old = slot.active()?;
        let started = Instant::now();
        let (origin, name) = (change.origin.clone(), Some(&*slot.name));
        let loaded = self.load_build(change.bytes.clone(), origin, name, cancel)?;
        let compile_ms = milliseconds(started.elapsed());
        let new = &loaded.0;
        self.check_successor(slot, &old, &loaded)?;
        let is_same = old.build.digest == loaded.1.digest;
        check_baked(slot, is_same)?;
        let before = (!is_same).then_some((&*old.generation, change.agreement));
        let started = Instant::now();
        self.probe(new, before)?;
        let probe_ms = milliseconds(started.elapsed());
        let pair = Pair {
            old: &old.generation,
            new,
            agreement: change.agreement,
        };
        let layers_asked = match is_same {
            true => 0,
            false => self.ask_about_layers(&slot.name, pair, cancel)?,
        };
        let calls_compared = match change.shadow {
            None => 0,
            Some(shadow) => self.shadow(slot, pair, shadow, cancel)?,
        };
        let bakes = !is_same && !change.is_proven && !self.engine.settings.bake.is_zero();
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let new_digest = loaded.1.digest.clone();
        let bake = bakes.then_some(change.agreement);
        self.flip(slot, &old, loaded, (change.is_known, bake))?;
        Ok(SwapReport {
            driver: slot.name.clone(),
            old_digest: old.build.digest.clone(),
            new_digest,
            build: slot.history.lock().active_number(),
            compile_ms,
            probe_ms,
            layers_asked,
            calls_compared,
            bake_seconds: match bake {
                Some(_) => self.engine.settings.bake.as_secs(),
                None => 0,
            },
            running_on_old: old.running_count(),
            running: old.operations(),
        })
    }

    /// The moment of a swap: the record first, then the slot.
    fn flip(
        self,
        slot: &Slot,
        old: &Arc<Active>,
        (generation, build): Loaded,
        (is_known, bake): (bool, Option<Agreement>),
    ) -> Result<()> {
        if slot.trial().is_some_and(|trial| trial.verdict().is_some()) {
            return Err(Error::Busy(format!(
                "driver `{}` goes back to the build before the running one just now; swap again",
                slot.name
            )));
        }
        let follows = self.is_shipped(slot, &build);
        let is_new = old.build.digest != build.digest || old.build.origin != build.origin;
        if is_new {
            let shelf = self.shelf(&slot.name);
            shelf.keep(&old.build)?;
            shelf.keep(&build)?;
        }
        let version = generation.description().version.to_string();
        let is_told_otherwise = {
            let history = slot.history.lock();
            history.went_back.is_some() || !history.is_empty() && history.follows_shipped != follows
        };
        if is_new || is_told_otherwise {
            self.record(slot, |history| {
                history.found(
                    &old.build,
                    &old.generation.description().version.to_string(),
                );
                if is_new && !(is_known && history.activate(&build.digest)) {
                    history.enter(&build, &version);
                }
                history.went_back = None;
                history.follows_shipped = follows;
                history.is_baking = bake.is_some();
                history.agreement = bake.unwrap_or_default();
                if bake.is_none() {
                    history.prove();
                }
            })?;
        }
        let detail = format!("{} replaces {}", build.digest, old.build.digest);
        let new = Active::new(generation, build, slot.next_number());
        match bake {
            Some(agreement) => {
                let bake = Unwatched::new(&new, old, agreement);
                slot.replace(new, Some(Arc::clone(&bake.trial)));
                self.watch(slot, bake);
            }
            None => slot.replace(new, None),
        }
        slot.tally.swaps.fetch_add(1, Ordering::Relaxed);
        tracing::info!(driver = slot.name, detail, "swapped");
        let news = News::new(EventKind::DriverSwapped).driver(&slot.name);
        self.engine.bus.tell(news.detail(detail));
        self.try_stores_again(&slot.name);
        Ok(())
    }

    /// Changes what is written down of a driver's builds, on disk and in memory or in neither.
    pub(super) fn record(self, slot: &Slot, change: impl FnOnce(&mut History)) -> Result<()> {
        let before = slot.history.lock().clone();
        let mut after = before.clone();
        change(&mut after);
        after.give_up();
        let shelf = self.shelf(&slot.name);
        shelf.write(&before, &after)?;
        shelf.tidy(&after);
        *slot.history.lock() = after;
        Ok(())
    }

    /// Where the builds of a driver are kept.
    pub(super) fn shelf(self, name: &str) -> Shelf {
        Shelf::new(self.engine.settings.root.join("drivers").join(name))
    }

    /// What a build must have in common with the one that it replaces. Its name was checked when it was loaded.
    fn check_successor(self, slot: &Slot, old: &Active, (new, build): &Loaded) -> Result<()> {
        let quarantined = slot.quarantine.all();
        if let Some(kept) = quarantined
            .first()
            .filter(|_| old.build.digest == build.digest)
        {
            return Err(Error::DriverRejected {
                reason: format!("it is the build that runs, and that is quarantined{kept}"),
                remedy: format!(
                    "`mica driver rollback {0}` takes the build before, `mica driver release {0}` lets this one be called again",
                    slot.name
                ),
            });
        }
        let old: &Generation = &old.generation;
        let (had, has) = (world_word(old.world()), world_word(new.world()));
        if had != has {
            return Err(Error::DriverRejected {
                reason: format!("it exports the world `{has}`, the running build `{had}`"),
                remedy: "build it for the same world".to_owned(),
            });
        }
        let is_approved = self.engine.settings.grants.contains_key(&slot.name);
        // Only interfaces of the host are granted; what else a component imports is there for everyone and inert.
        let mut wanted = new
            .imports()
            .iter()
            .filter(|import| import.starts_with("mica:host/"));
        let added = wanted.find(|import| !is_approved && !old.imports().contains(import));
        if let Some(import) = added {
            return Err(Error::DriverRejected {
                reason: format!("it imports `{import}`, which the running build does not"),
                remedy: format!(
                    "grant it to the driver: `grants` of `[drivers.{}]` in the configuration",
                    slot.name
                ),
            });
        }
        Ok(())
    }

    /// A build's component once more.
    fn source_again(self, build: &Build) -> Result<(Cow<'static, [u8]>, Origin)> {
        let bytes = match &build.origin {
            Origin::Directory(path) => self.read_component(path)?,
            Origin::Embedded | Origin::Uploaded => build.bytes.clone(),
        };
        Ok((bytes, build.origin.clone()))
    }

    /// Reads a component of the drivers directory.
    pub(super) fn read_component(self, path: &Path) -> Result<Cow<'static, [u8]>> {
        let most = self.engine.runtime.limits().component_bytes;
        let read = files::read_component(path, most).map(Cow::Owned);
        read.map_err(|error| Error::path("read component", path, error))
    }
}

/// Refuses the build that bakes in its own place, because it would come in as one that needs no bake.
fn check_baked(slot: &Slot, is_same: bool) -> Result<()> {
    if !is_same || slot.trial().is_none() {
        return Ok(());
    }
    Err(Error::Busy(format!(
        "driver `{}` bakes this build; swap again when that is over, or roll back",
        slot.name
    )))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
