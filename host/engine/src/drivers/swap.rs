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
use super::grants::{self, Consent};
use super::history::History;
use super::load::{Loaded, Terms};
use super::shelf::Shelf;
use super::trust::Voucher;
use super::view::world_word;
use super::{Agreement, Drivers, Papers, Shadow, Slot, SwapRequest};
use crate::disk::files;
use crate::event::News;
use crate::settings::Origin;
use crate::view::SwapReport;
use crate::{Error, EventKind, Result};
use mica_runtime::{CancelToken, Generation, Grant};
use parking_lot::MutexGuard;
use std::borrow::Cow;
use std::collections::BTreeSet;
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
    pub(super) voucher: Voucher,
    pub(super) shadow: Option<Shadow>,
    pub(super) agreement: Agreement,
    /// Whether it served before, for as long as a build bakes.
    pub(super) is_proven: bool,
    /// Whether it is one of the builds that the history knows, so that it keeps its number.
    pub(super) is_known: bool,
    /// What the operator agrees to; without it nothing new is asked for: it is a build that was there, or the running one.
    pub(super) consent: Option<Consent>,
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
        let (bytes, origin, voucher) = match request.component {
            Some(bytes) => {
                let papers = request.papers.cloned().unwrap_or_default();
                (
                    Cow::Owned(bytes.to_vec()),
                    Origin::Uploaded,
                    Voucher::Papers(papers),
                )
            }
            None => {
                refuse_papers(request.papers)?;
                let build = &slot.active()?.build;
                let (bytes, origin) = self.source_again(build)?;
                let voucher = Voucher::of_origin(&origin, build.provenance.clone())?;
                (bytes, origin, voucher)
            }
        };
        let change = Change {
            bytes,
            origin,
            voucher,
            shadow: request.shadow,
            agreement: request.agreement,
            is_proven: false,
            is_known: false,
            consent: Some(request.consent.cloned().unwrap_or_default()),
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
        let terms = Terms {
            consent: change.consent.as_ref(),
            ..self.known_terms(slot)
        };
        let from = (change.origin.clone(), change.voucher.clone());
        let loaded = self.load_build(change.bytes.clone(), from, terms, cancel)?;
        let compile_ms = milliseconds(started.elapsed());
        let new = &loaded.0;
        self.check_successor(slot, &old, &loaded)?;
        let approved = self.check_consent(slot, &old, &loaded, change.consent.as_ref())?;
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
        let (layers_asked, calls_compared) =
            self.ask_both(slot, pair, (is_same, change.shadow), cancel)?;
        let bakes = !is_same && !change.is_proven && !self.engine.settings.bake.is_zero();
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let new_digest = loaded.1.digest.clone();
        let bake = bakes.then_some(change.agreement);
        self.flip(slot, &old, loaded, (change.is_known, bake, approved))?;
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

    /// Asks both builds about layers that are there, and compares calls if that is wanted; says how many.
    fn ask_both(
        self,
        slot: &Slot,
        pair: Pair<'_>,
        (is_same, shadow): (bool, Option<Shadow>),
        cancel: &CancelToken,
    ) -> Result<(u64, u64)> {
        let layers = match is_same {
            true => 0,
            false => self.ask_about_layers(&slot.name, pair, cancel)?,
        };
        let calls = match shadow {
            None => 0,
            Some(shadow) => self.shadow(slot, pair, shadow, cancel)?,
        };
        Ok((layers, calls))
    }

    /// The moment of a swap: the record first, then the slot.
    fn flip(
        self,
        slot: &Slot,
        old: &Arc<Active>,
        (generation, build): Loaded,
        (is_known, bake, approved): (bool, Option<Agreement>, BTreeSet<Grant>),
    ) -> Result<()> {
        check_settled(slot)?;
        let follows = self.is_shipped(slot, &build);
        let is_new = is_other(&old.build, &build);
        if is_new {
            let shelf = self.shelf(&slot.name);
            shelf.keep(&old.build)?;
            shelf.keep(&build)?;
        }
        let version = generation.description().version.to_string();
        let is_told_otherwise = {
            let history = slot.history.lock();
            history.went_back.is_some()
                || !history.is_empty() && history.follows_shipped != follows
                || !approved.is_subset(&history.approved)
        };
        let mut written = self.written(slot, &old.generation);
        written.extend(grants::writes(&generation));
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
                history.approved.extend(&approved);
                history.written.clone_from(&written);
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
        self.tell_swapped(slot, detail);
        Ok(())
    }

    fn tell_swapped(self, slot: &Slot, detail: String) {
        slot.tally.swaps.fetch_add(1, Ordering::Relaxed);
        tracing::info!(driver = slot.name, detail, "swapped");
        let news = News::new(EventKind::DriverSwapped).driver(&slot.name);
        self.engine.bus.tell(news.detail(detail));
        self.try_stores_again(&slot.name);
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
        Ok(())
    }

    /// Refuses a build that asks for more than was agreed to, or that is a step back; says which interfaces were approved. What was there
    /// before needs no consent.
    fn check_consent(
        self,
        slot: &Slot,
        old: &Active,
        (new, build): &Loaded,
        consent: Option<&Consent>,
    ) -> Result<BTreeSet<Grant>> {
        let Some(consent) = consent else {
            return Ok(BTreeSet::new());
        };
        let old = &old.generation;
        let more = self.unapproved(slot, old, new.profile(), (&build.digest, consent))?;
        grants::refuse_more(&more, new)?;
        match self.step_back(slot, old, new.profile()) {
            Some(reason) if !consent.force => Err(Error::DriverRejected {
                reason: format!("it is a step back: {reason}"),
                remedy: "`mica driver rollback` goes back to a build that was there; `--force` takes this one all the same"
                    .to_owned(),
            }),
            _ => Ok(consent.approved(new)),
        }
    }

    /// On what terms a build of a driver is loaded that is there.
    pub(super) fn known_terms(self, slot: &Slot) -> Terms<'_> {
        Terms {
            name: Some(&slot.name),
            approved: slot.history.lock().approved.clone(),
            ..Terms::default()
        }
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

/// Refuses what vouches for a component where none comes.
fn refuse_papers(papers: Option<&Papers>) -> Result<()> {
    let is_any = |papers: &Papers| papers.reference.is_some() || !papers.signatures.is_empty();
    match papers.is_some_and(is_any) {
        false => Ok(()),
        true => Err(Error::Invalid(
            "a reference or a signature is about a component, and none came with it: send the component as well, or leave it out"
                .to_owned(),
        )),
    }
}

/// Refuses a change while a build is taken back.
fn check_settled(slot: &Slot) -> Result<()> {
    if slot.trial().is_some_and(|trial| trial.verdict().is_some()) {
        return Err(Error::Busy(format!(
            "driver `{}` goes back to the build before the running one just now; swap again",
            slot.name
        )));
    }
    Ok(())
}

/// Whether a build is another one, or is known to be from elsewhere.
fn is_other(old: &Build, new: &Build) -> bool {
    let is_vouched_alike = match (&old.provenance, &new.provenance) {
        (Some(old), Some(new)) => old.is_as(new),
        (None, None) => true,
        _ => false,
    };
    old.digest != new.digest || old.origin != new.origin || !is_vouched_alike
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
