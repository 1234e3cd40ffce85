//! The components from which a driver's first build can be made.
//!
//! Invariant: a component that is refused hides no other, and is told once; one that could not be looked at is tried again.

use super::active::Active;
use super::load::Loaded;
use super::slot::Source;
use crate::engine::Engine;
use crate::settings::{DriverSource, Origin};
use crate::{Class, Error, Result};
use mica_runtime::CancelToken;
use std::sync::{Arc, Weak};

/// A component, loaded or not.
pub(super) enum Candidate {
    Source(DriverSource),
    Loaded(Loaded),
}

impl Candidate {
    /// Where it came from.
    pub(super) fn origin(&self) -> &Origin {
        match self {
            Self::Source(source) => &source.origin,
            Self::Loaded((_, build)) => &build.origin,
        }
    }
}

/// Components of one name, the one that is tried first last.
pub(super) struct Candidates {
    engine: Weak<Engine>,
    name: String,
    candidates: Vec<Candidate>,
    /// Why the last that was tried cannot be loaded.
    refusal: Option<String>,
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
    pub(super) fn new(engine: &Engine, name: &str, candidates: Vec<Candidate>) -> Self {
        Self {
            engine: engine.weak(),
            name: name.to_owned(),
            candidates,
            refusal: None,
        }
    }
}

impl Source for Candidates {
    fn load(&mut self) -> Result<Arc<Active>> {
        let engine = self.engine.upgrade().ok_or(Error::Cancelled)?;
        let drivers = engine.drivers();
        while let Some(candidate) = self.candidates.last() {
            let loaded = match candidate {
                Candidate::Loaded(loaded) => Ok(loaded.clone()),
                Candidate::Source(DriverSource { bytes, origin, .. }) => {
                    let (bytes, origin) = (bytes.clone(), origin.clone());
                    drivers.load_build(bytes, origin, Some(&self.name), &CancelToken::default())
                }
            };
            match loaded {
                Ok((generation, build)) => return Ok(Active::new(generation, build, 1)),
                Err(error) if error.class() == Class::Unacceptable => {
                    drivers.report_unloaded(&self.name, &error);
                    self.refusal = Some(error.to_string());
                    self.candidates.pop();
                }
                // The host could not do it now, so no other build may take its place.
                Err(error) => return Err(error),
            }
        }
        Err(Error::DriverRejected {
            reason: self.refusal.clone().unwrap_or_default(),
            remedy: format!("load a component that works as `{}`", self.name),
        })
    }
}
