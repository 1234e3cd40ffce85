//! Tells of layers.
//!
//! Invariant: the driver is asked only for metadata; everything else is known.

use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Entry, Key, Mode};
use crate::scope::{Intent, Scope};
use crate::view::LayerView;
use crate::words::printable;
use crate::{Error, LayerId, Result};
use std::path::Path;

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

    /// What the driver tells of a layer, in its order. Paths are absolute: `MergedDir` is where the layer is
    /// mounted, and absent while it is not.
    ///
    /// # Errors
    /// As [`Engine::layer`]; what the driver answers.
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
        let merged = store
            .mounts
            .get(&id)
            .map(|state| store.place.point(state.number));
        let room = store.layers.room_path(facts.number);
        let mut pairs = Vec::with_capacity(told.len() + 1);
        for (key, value) in told.into_iter().filter(|(key, _)| key != MERGED) {
            let value = if key.ends_with("Dir") {
                below(&room, &value).ok_or_else(|| Error::DriverFailed {
                    driver: facts.record.driver.clone(),
                    reason: format!(
                        "metadata of layer `{id}`: `{}` is no path within the layer",
                        printable(&value)
                    ),
                })?
            } else {
                printable(&value)
            };
            pairs.push((printable(&key), value));
        }
        pairs.extend(merged.map(|path| (MERGED.to_owned(), path.display().to_string())));
        Ok(pairs)
    }
}

/// The key that the host alone knows a value for.
const MERGED: &str = "MergedDir";

/// Puts the room's path before each of the relative paths that colons divide; `None` if one leaves the room: nothing
/// may look as if the host had vouched for it.
fn below(room: &Path, value: &str) -> Option<String> {
    let absolute = |part: &str| {
        let leaves = part.starts_with('/') || part.split('/').any(|component| component == "..");
        (!leaves).then(|| printable(&room.join(part).display().to_string()))
    };
    let paths: Option<Vec<String>> = value.split(':').map(absolute).collect();
    Some(paths?.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_within_the_room_become_absolute() {
        let room = Path::new("/r/layers/7/d");
        for (given, told) in [
            ("diff", Some("/r/layers/7/d/diff")),
            ("a:b/c", Some("/r/layers/7/d/a:/r/layers/7/d/b/c")),
            ("../8/d", None),
            ("a:/etc", None),
        ] {
            assert_eq!(below(room, given).as_deref(), told);
        }
    }
}
