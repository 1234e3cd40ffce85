//! What is told of a layer: where it lies, and what the driver says of it.
//!
//! Invariant: the driver is asked only for metadata and a view's plan; everything else is known.

use super::Mode;
use super::places::KEYS;
use crate::drivers::Question;
use crate::store::{Call, Intent, OpenStore, Scope, Verb};
use crate::{Error, LayerId, Result};

impl OpenStore<'_> {
    /// Where a layer lies, in moby's keys, and what the driver tells of it.
    pub(super) fn layer_metadata(&self, id: &LayerId) -> Result<Vec<(String, String)>> {
        let store = &*self.store;
        let _held = self.lock_layer(id, Mode::Shared)?;
        let facts = store.facts(id)?;
        let call = Call::new(
            Verb::Metadata,
            Scope::layer(&store.layers, id, Intent::Look),
        )
        .asking(Question::Metadata);
        let told = self.call(call, |generation, operation| {
            generation.metadata(operation, id.as_str())
        })?;
        // Nothing may look as if the host had vouched for it.
        if let Some((key, _)) = told.iter().find(|(key, _)| KEYS.contains(&key.as_str())) {
            return Err(Error::DriverFailed {
                driver: facts.record.driver.clone(),
                reason: format!("metadata of layer `{id}`: `{key}` is for the host to tell"),
            });
        }
        let (places, merged) = self.places(id, &facts)?;
        let owned = |(key, value): (&str, String)| (key.to_owned(), value);
        let told = told
            .into_iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        Ok(places
            .into_iter()
            .map(owned)
            .chain(told)
            .chain(merged.map(owned))
            .collect())
    }
}
