//! The components from which a driver's first build can be made.
//!
//! Invariant: a component that is refused hides no other, and is told once; one that could not be looked at is tried again.

use super::active::Active;
use super::load::{Loaded, Terms};
use super::slot::Source;
use crate::engine::Engine;
use crate::settings::{DriverSource, Origin};
use crate::{Class, Error, Result};
use mica_runtime::{CancelToken, Grant};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// A component, loaded or not.
pub(super) enum Candidate {
    Source(DriverSource),
    /// One that the daemon kept, which was judged when it came.
    Kept(DriverSource),
    Loaded(Loaded),
}

impl Candidate {
    /// Where it came from.
    pub(super) fn origin(&self) -> &Origin {
        match self {
            Self::Source(source) | Self::Kept(source) => &source.origin,
            Self::Loaded((_, build)) => &build.origin,
        }
    }
}

/// Components of one name, the one that is tried first last.
pub(super) struct Candidates {
    engine: Weak<Engine>,
    name: String,
    candidates: Vec<Candidate>,
    /// Interfaces that were approved for the driver.
    approved: BTreeSet<Grant>,
    /// Why the last that was tried cannot be loaded, and what would help.
    refusal: Option<(String, Option<String>)>,
}

impl std::fmt::Debug for Candidates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Candidates")
            .field("name", &self.name)
            .field("candidates", &self.candidates.len())
            .finish_non_exhaustive()
    }
}

impl Candidates {
    pub(super) fn new(
        engine: &Engine,
        name: &str,
        candidates: Vec<Candidate>,
        approved: BTreeSet<Grant>,
    ) -> Self {
        Self {
            engine: engine.weak(),
            name: name.to_owned(),
            candidates,
            approved,
            refusal: None,
        }
    }
}

impl Source for Candidates {
    fn load(&mut self) -> Result<Arc<Active>> {
        let engine = self.engine.upgrade().ok_or(Error::Cancelled)?;
        let drivers = engine.drivers();
        while let Some(candidate) = self.candidates.last() {
            let terms = Terms {
                name: Some(&self.name),
                approved: self.approved.clone(),
                ..Terms::default()
            };
            let nobody = CancelToken::default();
            let loaded = match candidate {
                Candidate::Loaded(loaded) => Ok(loaded.clone()),
                Candidate::Source(source) => drivers.load_source(source, terms, &nobody),
                Candidate::Kept(source) => drivers.load_kept(source, terms, &nobody),
            };
            match loaded {
                Ok((generation, build)) => return Ok(Active::new(generation, build, 1)),
                Err(error) if error.class() == Class::Unacceptable => {
                    drivers.report_unloaded(&self.name, &error);
                    self.refusal = Some(told(error));
                    self.candidates.pop();
                }
                // The host could not do it now, so no other build may take its place.
                Err(error) => return Err(error),
            }
        }
        let (reason, remedy) = self.refusal.clone().unwrap_or_default();
        Err(Error::DriverRejected {
            reason,
            remedy: remedy
                .unwrap_or_else(|| format!("load a component that works as `{}`", self.name)),
        })
    }
}

/// Why a component was refused, and what would help.
fn told(error: Error) -> (String, Option<String>) {
    match error {
        Error::DriverRejected { reason, remedy } => (reason, Some(remedy)),
        other => (other.to_string(), other.remedy()),
    }
}
