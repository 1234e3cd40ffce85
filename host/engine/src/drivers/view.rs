//! What is told of a driver.
//!
//! Invariant: nothing waits but for a build that nobody has needed yet; also not for a swap.

use super::rollback::known;
use super::{Drivers, Slot};
use crate::settings::Origin;
use crate::view::{DriverView, Pairs, ReplacedView};
use crate::{Result, SafeText};
use mica_runtime::World;

impl Drivers<'_> {
    /// Describes what runs in a slot.
    pub(super) fn view(self, slot: &Slot) -> Result<DriverView> {
        let active = slot.active()?;
        let description = active.generation.description();
        let (imports, options) = (
            active.generation.imports().iter(),
            description.options.iter(),
        );
        let (operations, faults) = slot.totals();
        let served = self.engine.stores().of_driver(&slot.name);
        let quarantines = slot.quarantine.all();
        let history = known(slot, &active);
        let replaced = slot.replaced().into_iter().map(|build| ReplacedView {
            digest: build.build.digest.clone(),
            running: build.running_count(),
            operations: build.operations(),
        });
        Ok(DriverView {
            name: slot.name.clone(),
            version: description.version.to_string(),
            summary: description.summary.to_string(),
            digest: active.build.digest.clone(),
            size_bytes: active.generation.size_bytes(),
            origin: origin_word(&active.build.origin).to_owned(),
            provenance: active.build.provenance.clone(),
            world: world_word(active.generation.world()).to_owned(),
            composed: active.generation.world() == World::Proto,
            imports: imports
                .map(|import| SafeText::label(import).into())
                .collect(),
            grants: active
                .generation
                .granted()
                .iter()
                .map(|grant| grant.name().to_owned())
                .collect(),
            options: Pairs(
                options
                    .map(|(name, meaning)| (name.to_string(), meaning.to_string()))
                    .collect(),
            ),
            stores: served.map(|store| store.name.as_str().to_owned()).collect(),
            generation: active.number,
            loaded: active.loaded,
            previous: history.previous().map(|build| build.digest.clone()),
            bake: slot.trial().map(|trial| trial.view()),
            went_back: history
                .last_evidence()
                .map(|(_, evidence)| evidence.clone()),
            replaced: replaced.collect(),
            running: active.running_count(),
            operations,
            faults,
            quarantined: quarantines
                .iter()
                .find(|view| view.store.is_none())
                .map(|view| view.reason.clone()),
            quarantines,
        })
    }
}

/// The word for where a component came from.
pub(super) fn origin_word(origin: &Origin) -> &'static str {
    match origin {
        Origin::Embedded => "embedded",
        Origin::Directory(_) => "directory",
        Origin::Uploaded => "uploaded",
    }
}

/// The word for what a component exports.
pub(super) fn world_word(world: World) -> &'static str {
    match world {
        World::Proto => "proto",
        World::Full => "full",
    }
}
