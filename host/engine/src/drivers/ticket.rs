//! An operation that runs on a build.
//!
//! Invariant: it is counted on that build, and holds its permits, until it ends.

use super::active::Active;
use super::gate::Permit;
use super::lent::Lent;
use super::quarantine::Subject;
use super::trial::{Risk, Trial};
use crate::traffic::{Sample, Tally};
use mica_runtime::{ClientWait, Generation};
use std::sync::Arc;
use std::time::Duration;

/// What an operation is to the bake of a build.
#[derive(Debug)]
pub(super) enum Role<G> {
    /// Nothing.
    Usual,
    /// It is on the build that bakes.
    OnTrial(Risk<G>),
    /// It shows whether the build before refuses what the new one refused.
    Check(Arc<Trial<G>>),
}

/// An operation that runs on a build.
#[derive(Debug)]
pub(crate) struct Ticket<G = Generation> {
    active: Arc<Active<G>>,
    key: u64,
    name: &'static str,
    role: Role<G>,
    permits: Arc<Lent>,
    _stream: Option<[Permit; 2]>,
}

impl<G> Ticket<G> {
    pub(super) fn new(
        active: Arc<Active<G>>,
        (name, subject): (&'static str, Subject<'_>),
        role: Role<G>,
        (permits, stream): (Arc<Lent>, Option<[Permit; 2]>),
    ) -> Self {
        Self {
            key: active.begin(name, subject),
            active,
            name,
            role,
            permits,
            _stream: stream,
        }
    }

    /// The build that it runs on.
    pub(crate) fn generation(&self) -> &G {
        &self.active.generation
    }

    /// The number of the build that it runs on.
    pub(crate) fn generation_number(&self) -> u64 {
        self.active.number
    }

    /// The digest of the component that it runs on.
    pub(crate) fn digest(&self) -> Arc<str> {
        Arc::clone(&self.active.digest)
    }

    /// Time since it began that it waited for its client.
    pub(crate) fn waited(&self) -> Duration {
        self.permits.waited()
    }

    /// Counts it on its build.
    pub(crate) fn count(&self, tally: &Tally, sample: &Sample<'_>) {
        tally.note(&self.active.counts, sample);
    }

    /// Lends what it holds to others while it waits for its client.
    pub(crate) fn client_wait(&self) -> Arc<dyn ClientWait> {
        Arc::<Lent>::clone(&self.permits)
    }

    /// Notes how it ended: how busy it kept the build if it succeeded, the code of its error otherwise.
    pub(crate) fn ended(&mut self, end: Result<Duration, &'static str>) {
        if let Ok(time) = end {
            self.active.took(self.name, time);
        }
        match &self.role {
            Role::Check(trial) => trial.checked(self.name, end.err()),
            Role::OnTrial(risk) if end.is_ok() => risk.compare_times(),
            Role::OnTrial(_) | Role::Usual => {}
        }
    }

    /// What the build that bakes has to answer for, if it is on that.
    pub(crate) fn take_risk(&mut self) -> Option<Risk<G>> {
        match std::mem::replace(&mut self.role, Role::Usual) {
            Role::OnTrial(risk) => Some(risk),
            other => {
                self.role = other;
                None
            }
        }
    }

    /// Goes on with the build before the one that bakes.
    pub(crate) fn step_back(&mut self, risk: &Risk<G>) {
        let view = self.active.end(self.key);
        self.active = risk.old();
        self.key = view.map_or(self.key, |view| self.active.take(view));
    }
}

impl<G> Drop for Ticket<G> {
    fn drop(&mut self) {
        let _ended = self.active.end(self.key);
    }
}
