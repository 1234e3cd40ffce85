//! Tells of layers.
//!
//! Invariant: the driver is asked only for metadata; everything else is known.

use crate::call::Call;
use crate::engine::Engine;
use crate::layers::{Entry, Facts, Key, Mode};
use crate::scope::{Intent, Scope};
use crate::store::Store;
use crate::view::LayerView;
use crate::words::printable;
use crate::{Error, LayerId, Result};
use std::path::{Path, PathBuf};

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

    /// What the driver tells of a layer, in its order. Paths are absolute: `LowerDir` has one for each layer below,
    /// `MergedDir` is where the layer is mounted, or would be.
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
        let places = Places::of(&store, &facts);
        let mut pairs = Vec::with_capacity(told.len() + 1);
        for (key, value) in told {
            if key == LOWER && places.below.is_empty() {
                continue;
            }
            let value = match key.as_str() {
                MERGED => Some(places.merged.clone()),
                LOWER => places.lower(&value),
                key if key.ends_with("Dir") => below(&places.own, &value),
                _ => Some(printable(&value)),
            };
            let value = value.ok_or_else(|| Error::DriverFailed {
                driver: facts.record.driver.clone(),
                reason: format!(
                    "metadata of layer `{id}`: `{}` is no path within the layer",
                    printable(&key)
                ),
            })?;
            pairs.push((printable(&key), value));
        }
        if store.mounts.get(&id).is_some() && pairs.iter().all(|(key, _)| key != MERGED) {
            pairs.push((MERGED.to_owned(), places.merged));
        }
        Ok(pairs)
    }
}

/// Where a layer lies.
struct Places {
    own: PathBuf,
    /// The rooms of the layers below, nearest first.
    below: Vec<PathBuf>,
    /// Where it is mounted, or would be.
    merged: String,
}

impl Places {
    fn of(store: &Store, facts: &Facts) -> Self {
        let room = |number| store.layers.room_path(number);
        let table = store.layers.table();
        let ids = table
            .ancestors(facts.record.id.as_str())
            .unwrap_or_default();
        let numbers = ids
            .iter()
            .filter_map(|id| table.get(id))
            .map(|entry| entry.number);
        Self {
            own: room(facts.number),
            below: numbers.map(room).collect(),
            merged: store.place.point(facts.number).display().to_string(),
        }
    }

    /// A path within each layer below.
    fn lower(&self, value: &str) -> Option<String> {
        let paths: Option<Vec<_>> = self.below.iter().map(|room| below(room, value)).collect();
        Some(paths?.join(":"))
    }
}

/// The key that the host alone knows a value for.
const MERGED: &str = "MergedDir";
/// The key whose path lies in every layer below.
const LOWER: &str = "LowerDir";

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
