//! Tells of layers.
//!
//! Invariant: the driver is asked only for metadata and a view's plan; everything else is known.

use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Entry, Key, Mode};
use crate::places::KEYS;
use crate::scope::{Intent, Scope};
use crate::view::LayerView;
use crate::{Error, LayerId, Result};

impl Engine {
    /// Lists layers in byte order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// `unknown-store`.
    pub fn layers(&self, store: &str, after: Option<&str>, limit: usize) -> Result<Vec<LayerView>> {
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        let page: Vec<_> = store
            .layers
            .table()
            .page(after, limit)
            .map(Entry::facts)
            .collect();
        Ok(page
            .into_iter()
            .map(|facts| store.layer_view(facts))
            .collect())
    }

    /// Describes one layer.
    ///
    /// # Errors
    /// `invalid-id`, `unknown-store`, `unknown-layer`.
    pub fn layer(&self, store: &str, id: &str) -> Result<LayerView> {
        let id = LayerId::parse(id)?;
        let store = self.find_store(store)?;
        let _life = store.enter()?;
        Ok(store.layer_view(store.facts(&id)?))
    }

    /// Where a layer lies, and what the driver tells of it, in its order. Paths are absolute, and lead to directories one
    /// name below a room, which no process can exchange: `LowerDir` has those below the layer, nearest first, `MergedDir`
    /// is where the layer is mounted, or would be.
    ///
    /// # Errors
    /// As [`Engine::layer`]; what the driver answers; `driver-failed` when it tells a key that is the host's.
    pub fn metadata(&self, store: &str, id: &str) -> Result<Vec<(String, String)>> {
        let id = LayerId::parse(id)?;
        let store = self.usable_store(store)?;
        let _life = store.enter()?;
        let _held = store.lock(vec![(Key::Layer(id.clone()), Mode::Shared)])?;
        let facts = store.facts(&id)?;
        let call = Call::new("metadata", Scope::layer(&store.layers, &id, Intent::Look));
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
        let (places, merged) = self.places(&store, &id, &facts)?;
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
