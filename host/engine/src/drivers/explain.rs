//! What an operator wants to know of a driver, gathered from where it is known.
//!
//! Invariant: nothing is decided here.

use super::rollback::known;
use super::{Drivers, Slot};
use crate::Result;
use crate::settings::Origin;
use crate::view::{
    DenialView, DriverExplanation, ImportView, KeptView, LimitView, ManifestView, SignatureView,
};
use mica_runtime::{Generation, Grant};

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
        let approved = slot.history.lock().approved.clone();
        let digest = &active.build.digest;
        let grantor = self.grants_of(name, digest, &approved);
        let granted_by = grantor.map_or("unknown", |(_, grantor)| grantor.word());
        // Those that it was loaded with: what was said since counts for the next load.
        let granted = active.generation.granted();
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
            limits: limits(&active.generation),
            manifest: active.generation.manifest().map(ManifestView::from),
            signature: SignatureView::of(active.build.provenance.as_ref()),
            granted_by: granted_by.to_owned(),
            approved: approved.iter().map(ToString::to_string).collect(),
            rights: granted.rights().iter().map(|one| one.to_string()).collect(),
            audited: granted.is_audited(),
            denials: denials(&slot),
            kept: kept(&slot),
            driver,
        })
    }
}

fn limits(generation: &Generation) -> Vec<LimitView> {
    let wanted = |name: &str| generation.manifest()?.limits.get(name).copied();
    let numbers = generation.limits().numbers().into_iter();
    numbers
        .map(|number| LimitView {
            wanted: wanted(number.name),
            name: number.name.to_owned(),
            is_default: number.value == number.default,
            value: number.value,
        })
        .collect()
}

fn denials(slot: &Slot) -> Vec<DenialView> {
    let denials = slot.insight.denials.all().into_iter();
    denials
        .map(|(right, denied)| DenialView {
            what: right.to_string(),
            operations: denied.operations,
            allowed: denied.is_allowed,
            remedy: denied.remedy,
        })
        .collect()
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
