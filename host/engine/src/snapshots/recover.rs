//! What a store has of snapshots, whatever happened before.
//!
//! | row | its layer | becomes |
//! |---|---|---|
//! | there | there, or none needed | a snapshot |
//! | there | missing, nothing built on the snapshot | the row goes, and that is reported |
//! | there | missing, others built on it | stays, so that they keep their names; it is reported |
//! | missing | there, with an id that the engine made for a snapshot | the layer is removed |
//! | missing | there, with any other id | stays, and is reported |
//!
//! Invariant: recovery can be repeated at any point; no layer that anyone else made is touched.

use super::{Snapshot, shown};
use crate::LayerId;
use crate::layers::LayerSet;
use std::collections::HashSet;

/// What a store has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Snapshots.
    pub(super) rows: Vec<Snapshot>,
    /// Keys whose rows go.
    pub(super) gone: Vec<String>,
    /// Layers of no snapshot, those that are built on others first.
    pub(super) unowned: Vec<LayerId>,
    /// What needs a person.
    pub(super) problems: Vec<String>,
}

/// Compares rows with layers.
pub(super) fn reconcile(rows: Vec<Snapshot>, layers: &LayerSet) -> Found {
    let mut found = Found::default();
    let table = layers.table();
    let is_lost = |row: &Snapshot| {
        let layer = row.layer.as_ref();
        layer.is_some_and(|layer| table.get(layer.as_str()).is_none())
    };
    found.rows = rows;
    // A snapshot may lose its last child here, so that it can go as well.
    loop {
        let parents: HashSet<String> = found
            .rows
            .iter()
            .filter_map(|row| row.parent.clone())
            .collect();
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut found.rows)
            .into_iter()
            .partition(|row| is_lost(row) && !parents.contains(&row.key));
        found.rows = kept;
        if gone.is_empty() {
            break;
        }
        for row in gone {
            let key = shown(&row.key);
            let text = format!("the layer of snapshot `{key}` is lost, and so the snapshot goes");
            found.problems.push(text);
            found.gone.push(row.key);
        }
    }
    for row in found.rows.iter().filter(|row| is_lost(row)) {
        let key = shown(&row.key);
        let text = format!("the layer of snapshot `{key}` is lost, but others are built on it");
        found.problems.push(text);
    }
    let owned: HashSet<&LayerId> = found
        .rows
        .iter()
        .filter_map(|row| row.layer.as_ref())
        .collect();
    let mut unowned = Vec::new();
    for entry in table.page(None, usize::MAX) {
        let id = entry.id();
        if owned.contains(id) {
            continue;
        }
        if id.is_of_snapshot() {
            unowned.push((entry.depth, id.clone()));
        } else {
            let text =
                format!("layer `{id}` belongs to no snapshot, though its store has only snapshots");
            found.problems.push(text);
        }
    }
    unowned.sort_by(|one, other| other.cmp(one));
    found.unowned = unowned.into_iter().map(|(_, id)| id).collect();
    found
}
