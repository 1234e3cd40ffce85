//! What a home has, whatever happened before.
//!
//! | `layers/<n>` | record | row | becomes |
//! |---|---|---|---|
//! | there | unchanged since the row | there | a layer, without reading the record |
//! | there | readable | missing or older | a layer; the row is written anew |
//! | there | any, in a store whose snapshots' rows describe it | any | a layer, as they say |
//! | there | missing, in a store with snapshots, not described | any | a layer of no snapshot, for these to remove |
//! | there | else not readable, or no room | any | quarantined: reported, never deleted, no layer |
//! | missing | – | there | the row is dropped |
//! | two with one id | readable | any | the higher revision is the layer, the other is deleted |
//!
//! Invariant: recovery can be repeated at any point, and nothing is deleted but what a newer revision replaced and
//! what lies in staging and trash.

use super::layout::Area;
use super::record::{Row, Stamp};
use super::{Described, Home, Layout, Record};
use mica_sys::{Name, node};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// What a home has.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Records of the layers by number, in no order.
    pub(crate) layers: Vec<(u64, Record)>,
    /// Directories that are no layers, and why.
    pub(crate) quarantined: Vec<(PathBuf, String)>,
    /// Rows that the index lacks.
    fresh: Vec<(u64, Row)>,
    /// Numbers that a newer revision replaced.
    superseded: Vec<u64>,
    /// The highest number in use.
    pub(super) highest: u64,
}

/// Compares the directory with the rows of the index.
pub(super) fn reconcile(
    layout: &Layout,
    rows: &HashMap<u64, Row>,
    described: Option<&Described>,
) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut newest: HashMap<_, (u64, Record)> = HashMap::new();
    for name in node::names(layout.area(Area::Layers))? {
        let Some(number) = parse_number(&name) else {
            let path = layout
                .path()
                .join("layers")
                .join(String::from_utf8_lossy(&name).as_ref());
            recovered
                .quarantined
                .push((path, "its name is no layer's number".into()));
            continue;
        };
        recovered.highest = recovered.highest.max(number);
        match inspect(layout, number, rows.get(&number), described) {
            Ok(Found::Record(row)) => {
                if rows.get(&number) != Some(&row) {
                    recovered.fresh.push((number, row.clone()));
                }
                recovered
                    .superseded
                    .extend(older(&mut newest, number, row.record));
            }
            Ok(Found::Described(record)) => {
                newest.insert(record.id.clone(), (number, record));
            }
            Err(error) => recovered
                .quarantined
                .push((layout.layer_path(number), error.to_string())),
        }
    }
    recovered.layers = newest.into_values().collect();
    Ok(recovered)
}

/// Takes a layer unless a newer one has its id; gives back the number of the one that is not the newest.
fn older(
    newest: &mut HashMap<crate::LayerId, (u64, Record)>,
    number: u64,
    record: Record,
) -> Option<u64> {
    match newest.entry(record.id.clone()) {
        Entry::Vacant(free) => {
            free.insert((number, record));
            None
        }
        Entry::Occupied(mut taken) => {
            let (held, known) = taken.get();
            let held = *held;
            if (record.revision, number) < (known.revision, held) {
                return Some(number);
            }
            taken.insert((number, record));
            Some(held)
        }
    }
}

/// Digits as [`Name::from_number`] writes them.
fn parse_number(name: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(name).ok()?.parse().ok()?;
    (Name::from_number(number).as_bytes() == name).then_some(number)
}

/// What tells what a layer is.
enum Found {
    /// Its own record.
    Record(Row),
    /// Someone else, or no one in a store where someone else does.
    Described(Record),
}

/// Looks at a layer that is whole.
fn inspect(
    layout: &Layout,
    number: u64,
    row: Option<&Row>,
    described: Option<&Described>,
) -> io::Result<Found> {
    let layer = node::open_directory(layout.area(Area::Layers), &Name::from_number(number))?;
    let explain = |what: &'static str| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    let room =
        node::stat(layer.as_fd(), &layout.room).map_err(explain("its room `d` is missing"))?;
    if room.kind != node::Kind::Directory {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "its room `d` is no directory",
        ));
    }
    if let Some(record) = described.and_then(|described| described.of(number)) {
        return Ok(Found::Described(record.clone()));
    }
    let unreadable = explain("its `record.json` cannot be read");
    let file = match (node::stat(layer.as_fd(), &layout.record), described) {
        (Err(error), Some(described)) if error.kind() == io::ErrorKind::NotFound => {
            let unowned = described.unowned(number).map_err(io::Error::other)?;
            return Ok(Found::Described(unowned));
        }
        (found, _) => found.map_err(&unreadable)?,
    };
    match row {
        Some(row) if row.stamp == Stamp::new(&file) => Ok(Found::Record(row.clone())),
        _ => Record::read(layout, layer.as_fd())
            .map(Found::Record)
            .map_err(unreadable),
    }
}

impl Home {
    /// Makes the rest of the home agree with what was found.
    pub(super) fn catch_up(
        &self,
        rows: &HashMap<u64, Row>,
        recovered: &Recovered,
    ) -> io::Result<()> {
        let present: HashSet<u64> = recovered.layers.iter().map(|(number, _)| *number).collect();
        for number in rows.keys().filter(|number| !present.contains(number)) {
            self.index.delete(*number);
        }
        for (number, row) in recovered
            .fresh
            .iter()
            .filter(|(number, _)| present.contains(number))
        {
            self.index.put(*number, row.to_bytes()?);
        }
        for number in &recovered.superseded {
            self.discard(*number, super::Syncing::Now)?;
        }
        for area in [Area::Staging, Area::Trash] {
            for name in node::names(self.layout.area(area))? {
                self.reaper
                    .delete(&self.layout, area, super::layout::name(&name)?);
            }
        }
        Ok(())
    }
}
