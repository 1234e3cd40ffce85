//! What a driver tells of a layer.
//!
//! Invariant: no path is told that lies anywhere else than one name below the room of a layer of the chain.

use super::{Facts, Mode};
use crate::store::{Call, Intent, OpenStore, Scope, Store};
use crate::{Error, LayerId, Result};
use mica_sys::Name;

impl OpenStore<'_> {
    /// What the driver tells of a layer, with absolute paths.
    pub(super) fn layer_metadata(&self, id: &LayerId) -> Result<Vec<(String, String)>> {
        let store = &*self.store;
        let _held = self.lock_layer(id, Mode::Shared)?;
        let facts = store.facts(id)?;
        let call = Call::new("metadata", Scope::layer(&store.layers, id, Intent::Look));
        let told = self.call(call, |generation, operation| {
            generation.metadata(operation, id.as_str())
        })?;
        let places = Places::of(store, &facts);
        let mut pairs = Vec::with_capacity(told.len() + 1);
        for (key, value) in told {
            if key == LOWER && places.below.is_empty() {
                continue;
            }
            let value = match key.as_str() {
                MERGED => Some(places.merged.clone()),
                LOWER => places.lower(store, &value),
                key if key.ends_with("Dir") => in_room(store, places.own, &value),
                _ => Some(value.to_string()),
            };
            let value = value.ok_or_else(|| Error::DriverFailed {
                driver: facts.record.driver.clone(),
                reason: format!(
                    "metadata of layer `{id}`: `{key}` is no directory one name below the room of each layer"
                ),
            })?;
            pairs.push((key.to_string(), value));
        }
        if store.mounts.get(id).is_some() && pairs.iter().all(|(key, _)| key != MERGED) {
            pairs.push((MERGED.to_owned(), places.merged));
        }
        Ok(pairs)
    }
}

/// Where a layer lies.
struct Places {
    own: u64,
    /// The layers below, nearest first.
    below: Vec<u64>,
    /// Where it is mounted, or would be.
    merged: String,
}

impl Places {
    fn of(store: &Store, facts: &Facts) -> Self {
        let table = store.layers.table();
        let ids = table
            .ancestors(facts.record.id.as_str())
            .unwrap_or_default();
        let numbers = ids
            .iter()
            .filter_map(|id| table.get(id))
            .map(|entry| entry.number);
        Self {
            own: facts.number,
            below: numbers.collect(),
            merged: store.place.point(facts.number).display().to_string(),
        }
    }

    /// A path within each layer below.
    fn lower(&self, store: &Store, value: &str) -> Option<String> {
        let below = self.below.iter();
        let paths: Option<Vec<_>> = below.map(|number| in_room(store, *number, value)).collect();
        Some(paths?.join(":"))
    }
}

/// The key that the host alone knows a value for.
const MERGED: &str = "MergedDir";
/// The key whose path lies in every layer below.
const LOWER: &str = "LowerDir";

/// Puts the room's path before each of the names that colons divide; `None` if one is no directory of the room: nothing
/// may look as if the host had vouched for it.
fn in_room(store: &Store, number: u64, value: &str) -> Option<String> {
    let room = store.layers.room_path(number);
    let absolute = |name: &Name| {
        let _is_there = store.layers.open_in_room(number, name).ok()?;
        let name = std::str::from_utf8(name.as_bytes()).ok()?;
        Some(room.join(name).display().to_string())
    };
    let paths: Option<Vec<String>> = names(value)?.iter().map(absolute).collect();
    Some(paths?.join(":"))
}

/// The names that colons divide; `None` if one is no name.
fn names(value: &str) -> Option<Vec<Name>> {
    let names = value.split(':').map(|name| Name::new(name.as_bytes()));
    names.collect::<std::result::Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_within_the_room_are_told() {
        for (given, told) in [
            ("diff", Some(vec!["diff"])),
            ("a:b", Some(vec!["a", "b"])),
            ("a:b/c", None),
            ("../8/d", None),
            ("a:/etc", None),
            ("..", None),
            ("", None),
        ] {
            let found = names(given);
            let found = found.map(|names| names.iter().map(Name::to_string).collect::<Vec<_>>());
            assert_eq!(
                found,
                told.map(|names| names.into_iter().map(str::to_owned).collect()),
                "{given}"
            );
        }
    }
}
