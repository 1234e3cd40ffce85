//! What can be asked of a store about the content of its layers.
//!
//! Invariant: what takes long ends when it is cancelled, or goes on in the background.

use super::one::{For, Look, Looked};
use super::pass::forget_gone;
use super::{WhenDamaged, described};
use crate::layers::{Entry, Facts};
use crate::store::{OpenStore, Store};
use crate::view::{DamageView, ScrubView, VerifyView};
use crate::{Error, LayerId, Result};
use mica_runtime::CancelToken;

impl OpenStore<'_> {
    /// What is known of the content of the store's layers, and what is done about it.
    #[must_use]
    pub fn scrub(&self) -> ScrubView {
        let store = &*self.store;
        forget_gone(store);
        let name = store.name.as_str();
        let (kept, now) = (store.scrub.kept().clone(), store.scrub.now());
        let damaged_more = kept.more_count();
        ScrubView {
            store: name.to_owned(),
            mode: self.engine.settings.scrub.mode_of(name),
            since: kept.since,
            paused: kept.paused,
            layer: now.layer.clone().map(String::from),
            asked: now.asked_count,
            answered: now.answered_count,
            skipped: now.skipped_count,
            pass: kept.pass,
            last: kept.last,
            lists_lost: kept.lists_lost,
            damaged: kept.damaged,
            damaged_more,
        }
    }

    /// Has one layer, or all, verified in the background, at once. A store that rests goes on.
    ///
    /// # Errors
    /// `invalid-id`, `unknown-layer`.
    pub fn begin_scrub(&self, layer: Option<&str>) -> Result<ScrubView> {
        self.engine.check_open()?;
        let layer = layer.map(LayerId::parse).transpose()?;
        if let Some(layer) = &layer {
            self.store.facts(layer)?;
        }
        self.resume_scrub();
        {
            let mut now = self.store.scrub.now();
            now.asked.insert(layer);
            now.asked_count += 1;
        }
        self.engine.scrubber.ask();
        Ok(self.scrub())
    }

    /// Lets the store rest until someone lets it go on.
    pub fn pause_scrub(&self) {
        self.store.scrub.rest(true);
    }

    /// Lets the store go on.
    pub fn resume_scrub(&self) {
        self.store.scrub.rest(false);
    }

    /// Compares the files of a layer with their digests, or takes them if it has none.
    ///
    /// # Errors
    /// `invalid-id`, `unknown-layer`, `cancelled`; `busy` when the layer was changed meanwhile; `io`.
    pub fn verify(&self, id: &str, cancel: &CancelToken) -> Result<VerifyView> {
        self.engine.check_open()?;
        let id = LayerId::parse(id)?;
        let look = Look {
            engine: self.engine,
            store: &self.store,
            whom: For::Client,
            stop: &|| cancel.is_cancelled() || self.engine.check_open().is_err(),
            bytes_per_second: None,
        };
        match look.at(&id)? {
            Looked::Done(view) => Ok(view),
            Looked::Stopped => Err(Error::Cancelled),
            Looked::Later | Looked::Without => {
                let store = &self.store.name;
                let text = format!("layer `{id}` of store `{store}` was changed while it was read");
                Err(Error::Busy(text))
            }
        }
    }

    /// Tells the log, or refuses, if a layer that is asked for is known to be damaged, or one below it.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`], if such layers are to be refused.
    pub(crate) fn check_undamaged(&self, id: &LayerId) -> Result<()> {
        let store = &*self.store;
        let Some(damage) = damaged_below(store, id) else {
            return Ok(());
        };
        let what = described(&damage);
        match self.engine.settings.scrub.damaged {
            WhenDamaged::Serve => {
                tracing::warn!(store = %store.name, layer = %id, damaged = damage.layer, what, "a damaged layer is served");
                Ok(())
            }
            WhenDamaged::Refuse => Err(Error::LayerDamaged {
                layer: damage.layer.clone(),
                what,
            }),
        }
    }
}

impl OpenStore<'_> {
    /// Makes sure that a layer, whose lock is held and which is about to be changed, is not known to be damaged: the damage would
    /// be what the layer is from then on, and no archive could mend it. Whoever verifies it now finds nothing more.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`].
    pub(crate) fn check_changeable(&self, facts: &Facts) -> Result<()> {
        self.store.layers.interrupt(facts.number);
        match self.store.scrub.known(facts.number, &facts.record.id) {
            None => Ok(()),
            Some(damage) => Err(Error::LayerDamaged {
                what: format!(
                    "{}; until it is repaired it is only read",
                    described(&damage)
                ),
                layer: damage.layer,
            }),
        }
    }
}

/// What is damaged of a layer, or of the next one below it that is damaged.
fn damaged_below(store: &Store, id: &LayerId) -> Option<DamageView> {
    if store.scrub.damaged_count() == 0 {
        return None;
    }
    let layers: Vec<(u64, LayerId)> = {
        let table = store.layers.table();
        let below = table.ancestors(id.as_str()).unwrap_or_default();
        let ids = std::iter::once(id.as_str()).chain(below.iter().map(String::as_str));
        let entries = ids.filter_map(|id| table.get(id));
        entries
            .map(|entry: &Entry| (entry.number, entry.id().clone()))
            .collect()
    };
    let mut layers = layers.iter();
    layers.find_map(|(number, id)| store.scrub.known(*number, id))
}
