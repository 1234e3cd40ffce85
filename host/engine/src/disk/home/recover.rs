//! What a home has, whatever happened before.
//!
//! | `layers/<n>` | record | rows | becomes |
//! |---|---|---|---|
//! | there | unchanged since its row | the record | a layer, without reading the record |
//! | there | readable | none, or an older record | a layer; the row is written anew |
//! | there | any | a snapshot | a layer, as the row says |
//! | there | newer than the row | a snapshot, and rows that may be older than the layers | a layer, as the record says |
//! | there | missing, but one of a layer that was given up | none | a layer that nobody needs |
//! | there, of a layer that nobody waited for | any | none, and the rows are whole | deleted: whoever asked was not told, or the power went |
//! | the same | not readable | none | the same |
//! | there | empty or zeros | none, and those of snapshots are complete | deleted: the power went in a Prepare |
//! | there | not readable | asked to be removed | a layer that nobody needs |
//! | there | not readable, but the later one | any | a layer, as the later one says; reported |
//! | there | not readable | the record that was read before | a layer, as the row says; reported |
//! | there | not readable now, for the disk says so | any | reported, no layer until it can be read; its rows stay |
//! | there | else not readable, or no room | any | quarantined: reported, never deleted, no layer |
//! | missing | – | any | the row is dropped |
//! | two with one id | readable | any | the higher revision is the layer, the other is deleted |
//!
//! Invariant: recovery can be repeated at any point, and nothing is deleted but what a newer revision replaced, what nobody
//! waited for, and what lies in staging and trash.

use super::layout::Area;
use super::publish::is_unwaited;
use super::record::{Row, Stamp};
use super::{Described, Home, Layout, Purpose, Record};
use crate::LayerId;
use crate::check::{Finding, FindingKind};
use crate::disk::files;
use crate::disk::rows::{After, RowChange};
use mica_runtime::LayerKind;
use mica_sys::{Name, node};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;

/// What a home has.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Records of the layers by number, in no order.
    pub(crate) layers: Vec<(u64, Record)>,
    /// Directories that are no layers, and records that are damaged.
    pub(crate) findings: Vec<Finding>,
    /// Records of which there is no row.
    fresh: Vec<(u64, Row)>,
    /// Numbers that a newer revision replaced.
    pub(crate) superseded: Vec<u64>,
    /// Numbers of layers that nobody waited for, and that a kill or a power cut ended before they were made.
    pub(crate) unmade: Vec<u64>,
    /// Numbers of directories that cannot be read now: nobody knows whether they are layers.
    pub(crate) unseen: HashSet<u64>,
    /// The highest number in use.
    pub(super) highest: u64,
}

/// Compares the directory with the rows, and changes nothing.
pub(crate) fn reconcile(layout: &Layout, described: &Described) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut numbers = Vec::new();
    for name in node::names(layout.area(Area::Layers))? {
        if let Some(number) = parse_number(&name) {
            numbers.push(number);
            continue;
        }
        let path = layout
            .path()
            .join("layers")
            .join(String::from_utf8_lossy(&name).as_ref());
        let finding = no_layer(path, "its name is no layer's number");
        recovered.findings.push(finding);
    }
    let mut newest = HashMap::with_capacity(numbers.len());
    for (number, found) in inspect_all(layout, &numbers, described) {
        recovered.highest = recovered.highest.max(number);
        recovered.take(layout, described, &mut newest, number, found);
    }
    recovered.layers = newest.into_values().collect();
    Ok(recovered)
}

impl Recovered {
    /// Takes what was found of one layer.
    fn take(
        &mut self,
        layout: &Layout,
        described: &Described,
        newest: &mut HashMap<LayerId, (u64, Record)>,
        number: u64,
        found: io::Result<Found>,
    ) {
        match found {
            Ok(Found::Record(row)) => {
                // The row of a snapshot says the same.
                if row.record.purpose.is_none() && described.records.get(&number) != Some(&row) {
                    self.fresh.push((number, row.clone()));
                }
                self.superseded.extend(older(newest, number, row.record));
            }
            Ok(Found::Unmade) => self.unmade.push(number),
            Ok(Found::Described(record)) => {
                newest.insert(record.id.clone(), (number, record));
            }
            Ok(Found::Recalled(record, error)) => {
                let path = layout.layer_path(number).join("record.json");
                self.findings.push(unreadable(&path, &record.id, &error));
                self.superseded.extend(older(newest, number, record));
            }
            Err(error) => {
                let finding = unknown(layout.layer_path(number), &error);
                if finding.kind == FindingKind::Unseen {
                    self.unseen.insert(number);
                }
                self.findings.push(finding);
            }
        }
    }
}

/// Layers that a thread looks at, at least, and how many threads there are at most: the kernel's work is what there is to share.
const INSPECTED_TOGETHER: usize = 512;
const MOST_INSPECTORS: usize = 8;

/// Looks at all layers, in the order of `numbers`.
fn inspect_all(
    layout: &Layout,
    numbers: &[u64],
    described: &Described,
) -> Vec<(u64, io::Result<Found>)> {
    let inspect_some = |numbers: &[u64]| -> Vec<_> {
        let found = |number: &u64| (*number, inspect(layout, *number, described));
        numbers.iter().map(found).collect()
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let inspectors = (numbers.len() / INSPECTED_TOGETHER).clamp(1, processors.min(MOST_INSPECTORS));
    let mut parts = numbers.chunks(numbers.len().div_ceil(inspectors).max(1));
    let own = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let started: Vec<_> = parts
            .map(|part| {
                let inspector = thread::Builder::new().name("inspect".to_owned());
                (part, inspector.spawn_scoped(scope, || inspect_some(part)))
            })
            .collect();
        let mut found = inspect_some(own);
        for (part, inspector) in started {
            // Where there is no thread to be had, or it broke, this one looks.
            let inspected = inspector.ok().and_then(|thread| thread.join().ok());
            found.extend(inspected.unwrap_or_else(|| inspect_some(part)));
        }
        found
    })
}

/// ELOOP: a symbolic link stands where a directory should be.
const LOOP: i32 = 40;

/// A directory that is no layer's, or one that cannot be read now: an error of the disk may pass.
fn unknown(path: PathBuf, error: &io::Error) -> Finding {
    use io::ErrorKind::{NotADirectory, NotFound};
    match (error.kind(), error.raw_os_error()) {
        // What was read, or is not there, is no layer's.
        (_, None | Some(LOOP)) | (NotFound | NotADirectory, _) => {
            no_layer(path, &error.to_string())
        }
        _ => {
            let detail = format!("`{}` cannot be read: {error}", path.display());
            Finding::new(FindingKind::Unseen, detail).at(path)
        }
    }
}

fn no_layer(path: PathBuf, reason: &str) -> Finding {
    let detail = format!("`{}` is no layer: {reason}", path.display());
    Finding::new(FindingKind::LayerUnknown, detail).at(path)
}

fn unreadable(path: &Path, id: &LayerId, error: &io::Error) -> Finding {
    let detail = format!(
        "`{}` cannot be read ({error}); what is known of layer `{id}` from elsewhere counts",
        path.display()
    );
    Finding::new(FindingKind::RecordDamaged, detail)
        .of_layer(id.as_str())
        .at(path)
}

/// The damaged records of layers that are there, also those that nobody had to read.
pub(crate) fn find_damaged_records<'a>(
    layout: &Layout,
    layers: impl Iterator<Item = (u64, &'a LayerId)>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, id) in layers {
        let opened = node::open_directory(layout.area(Area::Layers), &Name::from_number(number));
        let Ok(layer) = opened else { continue };
        if Record::read_given_up(layout, layer.as_fd()).is_ok() {
            continue;
        }
        for (name, error) in Record::find_damaged(layout, layer.as_fd()) {
            let path = layout.layer_path(number).join(name.to_string());
            found.push(unreadable(&path, id, &error));
        }
    }
    found
}

/// Takes a layer unless a newer one has its id; gives back the number of the one that is not the newest.
fn older(newest: &mut HashMap<LayerId, (u64, Record)>, number: u64, record: Record) -> Option<u64> {
    match newest.entry(record.id.clone()) {
        Entry::Vacant(free) => {
            free.insert((number, record));
            None
        }
        Entry::Occupied(mut taken) => {
            let (held, known) = taken.get();
            let held = *held;
            // Of two equal revisions, which only a copy by hand can make, the later number counts, so that every start
            // decides alike.
            if (record.revision, number) < (known.revision, held) {
                return Some(number);
            }
            taken.insert((number, record));
            Some(held)
        }
    }
}

/// Digits as [`Name::from_number`] writes them, of a number that a row can have.
fn parse_number(name: &[u8]) -> Option<u64> {
    let number: i64 = std::str::from_utf8(name).ok()?.parse().ok()?;
    let number = u64::try_from(number).ok()?;
    // `007` and `+7` parse as well, and would be two names of one layer.
    (Name::from_number(number).as_bytes() == name).then_some(number)
}

/// What tells what a layer is.
enum Found {
    /// Its own record.
    Record(Row),
    /// Something else.
    Described(Record),
    /// Its row or its later record, because the first cannot be read.
    Recalled(Record, io::Error),
    /// Nothing: it was never made.
    Unmade,
}

/// Looks at a layer that is whole.
fn inspect(layout: &Layout, number: u64, described: &Described) -> io::Result<Found> {
    let layer = node::open_directory(layout.area(Area::Layers), &Name::from_number(number))?;
    let room = node::stat(layer.as_fd(), &layout.room)
        .map_err(|error| explained("its room `d` is missing", &error))?;
    if room.kind != node::Kind::Directory {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "its room `d` is no directory",
        ));
    }
    if let Some((record, written)) = described.snapshots.get(&number) {
        // Rows that are whole are newer than any record, which is then not read: that would be a file for each layer.
        let layer = layer.as_fd();
        let read = || Record::read(layout, layer).or_else(|_| Record::read_later(layout, layer));
        let newer = described.is_behind.then(read).and_then(io::Result::ok);
        let newer = newer.filter(|row| row.record.is_newer(&record.id, *written));
        return Ok(newer.map_or_else(|| Found::Described(record.clone()), Found::Record));
    }
    let known = described.records.get(&number);
    let is_told = known.is_some() || described.removals.contains_key(&number);
    let is_unmade = !is_told && is_unwaited(layer.as_fd())?;
    if is_unmade && !described.is_behind {
        return Ok(Found::Unmade);
    }
    match read(layout, layer.as_fd(), known) {
        Ok(row) => Ok(Found::Record(row)),
        Err(error) => {
            if let Some(record) = needless(layout, number, layer.as_fd(), described) {
                return Ok(Found::Described(record));
            }
            let is_nothing =
                described.are_complete() && known.is_none() && is_blank(layout, layer.as_fd());
            // An error of the disk may pass; content that was never written does not come.
            if is_nothing || (is_unmade && error.raw_os_error().is_none()) {
                return Ok(Found::Unmade);
            }
            let later = Record::read_later(layout, layer.as_fd());
            // A record is never changed, so its row, which has a checksum, is as good.
            match later.ok().as_ref().or(known) {
                Some(row) => Ok(Found::Recalled(row.record.clone(), error)),
                None => Err(explained("its `record.json` cannot be read", &error)),
            }
        }
    }
}

/// The record of a layer, from its row if the file is the one that was read for that.
fn read(layout: &Layout, layer: BorrowedFd<'_>, known: Option<&Row>) -> io::Result<Row> {
    let file = node::stat(layer, &layout.record)?;
    match known {
        // The kernel changes the stamp with each change of the file, so an equal one spares opening and parsing it.
        Some(row) if row.is_of(&Stamp::new(&file)) => Ok(row.clone()),
        _ => Record::read(layout, layer),
    }
}

/// What a layer without a record is, if someone asked to remove it or gave it up.
fn needless(
    layout: &Layout,
    number: u64,
    layer: BorrowedFd<'_>,
    described: &Described,
) -> Option<Record> {
    let removal = described.removals.get(&number).map(|id| {
        let record = Record::new(id.clone(), None, LayerKind::Content, "");
        record.for_purpose(Some(Purpose::Nothing))
    });
    removal.or_else(|| Record::read_given_up(layout, layer).ok())
}

/// Whether a layer's only record has no bytes, or zeros alone: the directory got its name before the record's bytes were on the
/// device, and so before anyone was told of the layer.
fn is_blank(layout: &Layout, layer: BorrowedFd<'_>) -> bool {
    let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let opened = node::open_regular(layer, &layout.record);
    let found = opened.and_then(|file| files::read_open(File::from(file)));
    found.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
        && node::stat(layer, &layout.later_record).is_err_and(is_missing)
}

fn explained(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

impl Home {
    /// Makes the rest of the home agree with what was found.
    pub(super) fn catch_up(&self, described: &Described, recovered: &Recovered) -> io::Result<()> {
        let present: HashSet<u64> = recovered.layers.iter().map(|(number, _)| *number).collect();
        let gone = |number: &&u64| !present.contains(number) && !recovered.unseen.contains(number);
        for number in described.removals.keys().filter(gone) {
            self.rows.note(RowChange::DropRemoval(*number));
        }
        let stale = described.records.keys().filter(gone);
        let mut cached: Vec<_> = stale.map(|number| RowChange::DropLayer(*number)).collect();
        for (number, row) in &recovered.fresh {
            if present.contains(number) {
                cached.push(RowChange::PutLayer(*number, row.to_text()?));
            }
        }
        if !cached.is_empty()
            && let Err(error) = self.rows.commit(cached, After::Nothing)
        {
            tracing::warn!(%error, "the next start reads the records of layers again");
        }
        for number in &recovered.superseded {
            if let Err(error) = self.discard(*number, super::Syncing::Now) {
                let path = self.layout.layer_path(*number);
                tracing::warn!(path = %path.display(), %error, "an old revision stays until the next start");
            }
        }
        for number in &recovered.unmade {
            if let Err(error) = self.discard(*number, super::Syncing::Later) {
                let path = self.layout.layer_path(*number);
                tracing::warn!(path = %path.display(), %error, "a layer that was being made stays until the next start");
            }
        }
        // Whatever lies there was told to no one, or its removal was.
        for area in [Area::Staging, Area::Trash] {
            for name in node::names(self.layout.area(area))? {
                self.reaper
                    .delete(&self.layout, area, super::layout::name(&name)?);
            }
        }
        Ok(())
    }
}
