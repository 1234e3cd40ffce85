//! What an operator wants to know of a driver, gathered from where it is known.
//!
//! Invariant: nothing is decided here.

use super::rollback::known;
use super::{Drivers, Slot};
use crate::Result;
use crate::settings::Origin;
use crate::view::{DriverExplanation, ImportView, KeptView, LimitView};
use mica_runtime::Grant;

impl Drivers<'_> {
    /// Tells all that is known of a driver.
    pub(super) fn explain_driver(self, name: &str) -> Result<DriverExplanation> {
        let slot = self.engine.registry.get(name)?;
        let active = slot.active()?;
        let is_first = slot.history.lock().is_empty();
        let history = known(&slot, &active);
        let driver = self.view(&slot)?;
        let imports: Vec<_> = driver
            .imports
            .iter()
            .map(|import| explain(import))
            .collect();
        let is_used = |grant: &&String| {
            let mut used = imports.iter().filter_map(|import| import.grant.as_ref());
            used.any(|used| used == *grant)
        };
        let unused = driver.grants.iter().filter(|grant| !is_used(grant));
        let source = match &active.build.origin {
            Origin::Directory(path) => path.display().to_string(),
            Origin::Embedded | Origin::Uploaded => driver.origin.clone(),
        };
        Ok(DriverExplanation {
            source,
            follows_shipped: is_first || history.follows_shipped,
            ships: slot.shipped.is_some(),
            needed_by: {
                let users = self.users(name);
                [users.certain, users.possible].concat()
            },
            contract: active.generation.contract().to_owned(),
            builds: history.views(),
            unused_grants: unused.cloned().collect(),
            imports,
            limits: self.limits(),
            kept: kept(&slot),
            driver,
        })
    }

    fn limits(self) -> Vec<LimitView> {
        let numbers = self.engine.runtime.limits().numbers().into_iter();
        numbers
            .map(|number| LimitView {
                name: number.name.to_owned(),
                is_default: number.value == number.default,
                value: number.value,
            })
            .collect()
    }
}

fn kept(slot: &Slot) -> KeptView {
    let traces = slot.insight.traces.amount();
    let (lines, bytes) = slot.insight.log.amount();
    KeptView {
        lines,
        passed: traces.passed,
        failed: traces.failed,
        bytes: traces.bytes + bytes,
    }
}

fn explain(import: &str) -> ImportView {
    let interface = import.split_once('/').map(|(_, rest)| rest);
    let interface = interface.and_then(|rest| rest.split('@').next());
    let grant = match import.starts_with("mica:host/") {
        true => Grant::ALL
            .iter()
            .find(|grant| Some(grant.name()) == interface),
        false => None,
    };
    let about = match grant {
        Some(grant) => grant.about(),
        None if import.starts_with("wasi:") => {
            "WASI, which gives no file, no environment and no network"
        }
        None => "types alone",
    };
    ImportView {
        name: import.to_owned(),
        grant: grant.map(|grant| grant.name().to_owned()),
        about: about.to_owned(),
    }
}
