//! Asks a build about layers that are there before it gets any call about them.
//!
//! A build that was made for another layout works in a store of its own and can show nothing of what is on disk. So it is asked
//! about a sample of the layers of every open store that it is to serve, snapshots' layers too.
//!
//! Invariant: nothing is changed, and no layer is waited for that someone works on.

use super::Drivers;
use super::question::{Agreement, Asked, Compared, Question};
use crate::store::{Call, Scope, Store, Verb};
use crate::{Error, LayerId, Result, driver_error};
use mica_runtime::{CancelToken, Generation};
use std::collections::BTreeSet;
use std::time::Duration;

/// Layers of one store that are asked about, a third of each kind: the last that were made, the deepest, and some between.
const STORE_LAYERS: usize = 24;
/// Layers of all stores that are asked about.
const ALL_LAYERS: usize = 480;

/// The build that runs, and the one that is to take its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) old: &'a Generation,
    pub(super) new: &'a Generation,
    pub(super) agreement: Agreement,
}

impl Drivers<'_> {
    /// Asks the new build about layers that are there; says of how many.
    ///
    /// # Errors
    /// [`Error::DriverRejected`], which names store and layer; [`Error::Cancelled`].
    pub(super) fn ask_about_layers(
        self,
        driver: &str,
        pair: Pair<'_>,
        cancel: &CancelToken,
    ) -> Result<u64> {
        let mut count = 0;
        for store in self.engine.stores().of_driver(driver) {
            // A store that was removed meanwhile needs no answer; one that cannot be used has none that could be lost.
            let Ok(_stay) = store.enter() else { continue };
            if store.unavailable().is_some() {
                continue;
            }
            check_store(&store, pair.new)?;
            let room = ALL_LAYERS.saturating_sub(count);
            for layer in sample(&store).into_iter().take(room) {
                if cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                count += usize::from(check_layer(&store, &layer, pair)?);
            }
        }
        Ok(count as u64)
    }
}

fn rejected(reason: String) -> Error {
    Error::DriverRejected {
        reason,
        remedy: "the running build stays; repair the new one and swap again".to_owned(),
    }
}

/// Asks whether the build can work on a store that the one before works on.
fn check_store(store: &Store, new: &Generation) -> Result<()> {
    let layers = &store.layers;
    let operation = Call::new(Verb::Init, Scope::store(layers)).operation();
    new.init(operation, &layers.options).map_err(|error| {
        let doing = format!("init store `{}`", store.name);
        let cause = driver_error::translate(&layers.driver, &doing, error);
        rejected(format!(
            "it cannot work on store `{}`, which the running build works on: {cause}",
            store.name
        ))
    })
}

/// Asks about a layer; says whether anything could be compared, for somebody may work on it.
fn check_layer(store: &Store, layer: &LayerId, pair: Pair<'_>) -> Result<bool> {
    let mut is_compared = false;
    for question in [Question::View, Question::Content, Question::Metadata] {
        let asked = Asked {
            store: store.name.as_str().to_owned(),
            layer: layer.clone(),
            question,
        };
        let compared = asked.compare(store, pair.old, pair.new, (pair.agreement, Duration::ZERO));
        is_compared |= !matches!(compared, Compared::Nothing);
        let Compared::Otherwise(difference) = compared else {
            continue;
        };
        let doing = match (&asked.question, difference.is_failure) {
            (Question::View, true) => "cannot show",
            (Question::View, false) => "shows otherwise",
            (_, true) => "cannot describe",
            (_, false) => "describes otherwise",
        };
        return Err(rejected(format!(
            "it {doing} layer `{layer}` of store `{}`: {}",
            store.name, difference.what
        )));
    }
    Ok(is_compared)
}

/// Some of a store's layers.
fn sample(store: &Store) -> Vec<LayerId> {
    let table = store.layers.table();
    let mut all: Vec<_> = table
        .page(None, usize::MAX)
        .map(|entry| (entry.number, entry.depth, entry.id()))
        .collect();
    let third = STORE_LAYERS / 3;
    let mut chosen = BTreeSet::new();
    all.sort_unstable_by_key(|(_, depth, _)| *depth);
    chosen.extend(all.iter().rev().take(third).map(|(.., id)| *id));
    all.sort_unstable_by_key(|(number, ..)| *number);
    chosen.extend(all.iter().rev().take(third).map(|(.., id)| *id));
    let step = all.len().div_ceil(third).max(1);
    chosen.extend(all.iter().step_by(step).map(|(.., id)| *id));
    chosen.into_iter().cloned().collect()
}
