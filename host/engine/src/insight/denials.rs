//! What a driver did and was not granted.
//!
//! Invariant: one entry for each right, however often; counting waits for nobody.

use mica_runtime::{Denial, Right};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// What is kept of a right that a driver lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    /// Operations in which it was missed.
    pub(crate) operations: u64,
    /// What would grant it.
    pub(crate) remedy: String,
    /// Whether it was allowed all the same, the last time.
    pub(crate) is_allowed: bool,
}

/// What one operation did and was not granted.
#[derive(Clone, Debug)]
pub(crate) struct Missed {
    pub(crate) denial: Denial,
    /// Whether it is the first of its right that the driver missed since the start.
    pub(crate) is_first: bool,
}

/// What one driver did and was not granted, since the start.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<BTreeMap<Right, Denied>>);

impl Denials {
    /// Counts one; says whether it is the first of its right.
    pub(super) fn add(&self, denial: &Denial) -> bool {
        let mut denials = self.0.lock();
        let known = denials.entry(denial.right).or_insert_with(|| Denied {
            operations: 0,
            remedy: String::new(),
            is_allowed: denial.is_allowed,
        });
        let is_first = known.operations == 0;
        known.operations += 1;
        known.remedy.clone_from(&denial.remedy);
        known.is_allowed = denial.is_allowed;
        is_first
    }

    /// All, in the order of the rights.
    pub(crate) fn all(&self) -> Vec<(Right, Denied)> {
        let denials = self.0.lock();
        let each = denials
            .iter()
            .map(|(right, denied)| (*right, denied.clone()));
        each.collect()
    }

    /// Operations in which something was missed, each counted once for each right.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().values().map(|denied| denied.operations).sum()
    }
}
