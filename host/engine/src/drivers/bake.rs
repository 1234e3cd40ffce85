//! What happens while a build bakes, and at the end of it.
//!
//! A thread compares answers of the new build with those of the one before, and takes the slot back or calls the build proven.
//! The calls themselves go back at once: see `trial.rs`.
//!
//! Invariant: however the bake ends, it ends once, and the record says so.

use super::active::Active;
use super::ask::Pair;
use super::history::History;
use super::question::Compared;
use super::trial::{Job, Trial};
use super::trust::Voucher;
use super::{Agreement, Drivers, Slot};
use crate::engine::Engine;
use crate::event::News;
use crate::view::Evidence;
use crate::{Error, EventKind, Result};
use mica_runtime::CancelToken;
use mica_text::with_causes;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A bake that nobody watches yet.
pub(super) struct Unwatched {
    pub(super) trial: Arc<Trial>,
    jobs: Receiver<Job>,
    agreement: Agreement,
}

impl Unwatched {
    pub(super) fn new(new: &Arc<Active>, old: &Arc<Active>, agreement: Agreement) -> Self {
        let (sender, jobs) = mpsc::channel();
        let trial = Trial::new(Arc::clone(new), Arc::clone(old), sender);
        Self {
            trial,
            jobs,
            agreement,
        }
    }
}

impl Drivers<'_> {
    /// Begins to watch the build of a slot.
    pub(super) fn watch(self, slot: &Slot, bake: Unwatched) {
        let until = Instant::now() + self.engine.settings.bake;
        let (engine, driver) = (self.engine.weak(), slot.name.clone());
        let Unwatched {
            trial,
            jobs,
            agreement,
        } = bake;
        // The thread must not keep the bake alive that it waits for.
        let trial = Arc::downgrade(&trial);
        let started = std::thread::Builder::new()
            .name("mica-bake".into())
            .spawn(move || watch((&engine, &driver), &trial, (&jobs, agreement), until));
        if let Err(error) = started {
            tracing::warn!(driver = slot.name, %error, "the build is not watched: there is no thread");
            slot.end_trial();
        }
    }

    /// Watches builds again whose bake a restart interrupted, from the beginning.
    pub(crate) fn resume_bakes(self) {
        for slot in self.engine.registry.all() {
            if slot.history.lock().is_baking
                && let Err(error) = self.resume_bake(&slot)
            {
                let detail = with_causes(&error);
                tracing::warn!(driver = slot.name, detail, "the bake does not go on");
                // The next start tries it again if that cannot be written down.
                let _noted = self.record(&slot, |history| history.is_baking = false);
            }
        }
    }

    fn resume_bake(self, slot: &Slot) -> Result<()> {
        let _changing = slot.changing.lock();
        self.engine.registry.check_there(slot)?;
        let new = slot.active()?;
        let is_meant = {
            let history = slot.history.lock();
            history
                .active()
                .is_some_and(|active| active.digest == new.build.digest)
        };
        // Another program brought another build, or the component was damaged: the record speaks of none that runs.
        if !is_meant {
            return self.record(slot, |history| history.is_baking = false);
        }
        let before = slot.history.lock().previous().cloned();
        let before = before.ok_or_else(|| Error::Invalid("no build before is kept".to_owned()))?;
        let bytes = self.component_of(slot, &before)?;
        let nobody = CancelToken::default();
        let voucher = Voucher::Judged(before.provenance.clone());
        let terms = self.known_terms(slot);
        let loaded = self.load_build(bytes, (before.origin, voucher), terms, &nobody)?;
        let old = Active::new(loaded.0, loaded.1, slot.next_number());
        let agreement = slot.history.lock().agreement;
        let bake = Unwatched::new(&new, &old, agreement);
        slot.replace(new, Some(Arc::clone(&bake.trial)));
        self.watch(slot, bake);
        Ok(())
    }

    /// Whether this bake is the slot's, and the driver is still there. The slot's lock for changes is held.
    fn bakes(self, slot: &Slot, trial: &Arc<Trial>) -> bool {
        let is_own = slot.trial().is_some_and(|other| Arc::ptr_eq(&other, trial));
        is_own && self.engine.registry.check_there(slot).is_ok()
    }

    /// Takes a slot back from a build that was worse than the one before.
    fn take_back(self, slot: &Slot, trial: &Arc<Trial>, evidence: &Evidence) {
        let _changing = slot.changing.lock();
        if !self.bakes(slot, trial) {
            return;
        }
        let (old, new) = (&trial.old, &trial.new);
        // Calls are answered by the build before already. If the record cannot be written, a restart begins with the bake again.
        let follows = self.is_shipped(slot, &old.build);
        let go_back = |history: &mut History| {
            history.go_back(&old.build.digest, evidence);
            history.follows_shipped = follows;
        };
        let recorded = self.record(slot, go_back);
        slot.replace(Arc::clone(old), None);
        if let Err(error) = recorded {
            go_back(&mut slot.history.lock());
            let detail = format!(
                "driver `{}` went back to another build, and that could not be written down: {}",
                slot.name,
                with_causes(&error)
            );
            self.engine.report(
                News::new(EventKind::DriverFailed).driver(&slot.name),
                None,
                detail,
            );
        }
        slot.tally.went_back.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (&new.build.digest, &old.build.digest);
        tracing::error!(
            driver = slot.name,
            from,
            to,
            "the driver went back to the build before: {evidence}"
        );
        let detail = format!("{to} replaces {from} again: {evidence}");
        let news = News::new(EventKind::DriverWentBack).driver(&slot.name);
        let news = news.about(evidence.store.as_deref(), evidence.layer.as_deref());
        self.engine.bus.tell(news.detail(detail));
        self.try_stores_again(&slot.name);
    }

    /// Ends the bake of a build that nothing speaks against; false if something does, which is one of the next jobs.
    fn is_over(self, slot: &Slot, trial: &Arc<Trial>) -> bool {
        let _changing = slot.changing.lock();
        if !self.bakes(slot, trial) {
            return true;
        }
        if trial.verdict().is_some() {
            return false;
        }
        slot.end_trial();
        let digest = &trial.new.build.digest;
        if let Err(error) = self.record(slot, History::prove) {
            let detail = with_causes(&error);
            tracing::warn!(
                driver = slot.name,
                detail,
                "that the build is proven is not written down"
            );
        }
        tracing::info!(driver = slot.name, digest, "the build has baked");
        let news = News::new(EventKind::DriverBaked).driver(&slot.name);
        self.engine.bus.tell(news.detail(digest.clone()));
        true
    }
}

/// Watches a build until its time is over, it is taken back, or another takes its place.
fn watch(
    (engine, driver): (&Weak<Engine>, &str),
    trial: &Weak<Trial>,
    (jobs, agreement): (&Receiver<Job>, Agreement),
    until: Instant,
) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let job = match jobs.recv_timeout(left.max(Duration::from_millis(1))) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (Some(engine), Some(trial)) = (engine.upgrade(), trial.upgrade()) else {
            return;
        };
        let drivers = engine.drivers();
        let Ok(slot) = engine.registry.get(driver) else {
            return;
        };
        match job {
            Some(Job::Compare(asked, risk)) => {
                let (old, new) = (&trial.old.generation, &trial.new.generation);
                match drivers.compared(
                    &asked,
                    Pair {
                        old,
                        new,
                        agreement,
                    },
                ) {
                    Compared::Same(Some(times)) => risk.both_took(asked.question.name(), times),
                    Compared::Same(None) | Compared::Nothing => {}
                    Compared::Otherwise(difference) => risk.failed(Evidence {
                        calls: 1,
                        what: "answered otherwise than the build before".to_owned(),
                        operation: asked.question.name().to_owned(),
                        store: Some(asked.store.clone()),
                        layer: Some(asked.layer.as_str().to_owned()),
                        first: difference.what,
                    }),
                }
            }
            Some(Job::GoBack) => {
                if let Some(evidence) = trial.verdict() {
                    drivers.take_back(&slot, &trial, &evidence);
                }
                return;
            }
            None => {}
        }
        if Instant::now() >= until && drivers.is_over(&slot, &trial) {
            return;
        }
    }
}
