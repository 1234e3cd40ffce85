//! What the driver of a store says of it: whether it can work there, how it stands.
//!
//! Invariant: a driver that has refused a store is asked again by whoever needs the store; nobody uses it before.

use super::{Call, Scope, Store};
use crate::Result;
use crate::engine::Engine;
use crate::layers::LayerSet;
use crate::store::Verb;
use mica_runtime::SafeText;
use mica_text::with_causes;
use std::sync::Arc;

impl Store {
    /// Asks the driver whether it can work on the store, unless it has said so before.
    pub(crate) fn make_ready(&self, engine: &Engine) -> Result<()> {
        if self.unavailable().is_none() {
            return Ok(());
        }
        let answer = Self::init(&self.layers, engine);
        *self.unavailable() = answer.as_ref().err().map(|error| with_causes(error));
        answer
    }

    /// Why nobody can use the store, or change it, in words.
    pub(crate) fn why_unready(&self) -> Option<String> {
        let name = &self.name;
        if let Some(reason) = self.layers.home().rows().refusal() {
            return Some(format!(
                "the rows of store `{name}` change no more: {reason}; restart the daemon"
            ));
        }
        let unavailable = self.unavailable();
        let reason = unavailable.as_ref()?;
        Some(format!("store `{name}` cannot be used: {reason}"))
    }

    /// Asks a driver whether it can work on a home.
    pub(super) fn init(layers: &Arc<LayerSet>, engine: &Engine) -> Result<()> {
        let call = Call::new(Verb::Init, Scope::store(layers));
        let options = Arc::clone(&layers.options);
        call.run(engine, move |generation, operation| {
            generation.init(operation, &options)
        })
    }

    /// What the driver says of the store's state, in its order.
    pub(super) fn status(&self, engine: &Engine) -> Result<Vec<(SafeText, SafeText)>> {
        let call = Call::new(Verb::Status, Scope::store(&self.layers));
        call.run(engine, |generation, operation| generation.status(operation))
    }

    /// Tells the driver that the store is closed.
    pub(crate) fn clean_up(&self, engine: &Engine) {
        if self.unavailable().is_some() {
            return;
        }
        let call = Call::new(Verb::Cleanup, Scope::store(&self.layers));
        let told = call.run(engine, |generation, operation| {
            generation.cleanup(operation)
        });
        if let Err(error) = told {
            tracing::warn!(store = %self.name, error = with_causes(&error), "the driver could not clean up");
        }
    }
}
