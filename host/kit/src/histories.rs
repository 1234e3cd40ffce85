//! Histories: scripts, one layer each, that are played on the driver and on plain directories.
//!
//! What must hold after each step: the layer looks like the directory, mounted and as a view; its diff is the same bytes
//! twice; the diff applied to a copy of the parent gives the same tree, the same changes and the same diff; and the layers
//! below are what they were.
//!
//! Invariant: the expected trees come from the same script on an ordinary file system.

use crate::calls::{APPLY, CHANGES, CREATE, DIFF, GET, SIZE, VIEW, holds, place, same};
use crate::report::Mismatch;
use crate::stage::{Stage, Step, read};
use mica_cases::dump::{Node, as_layered, print, try_nodes};
use mica_cases::expected::{check_native, compared, copied, empty, size_of, without_sockets};
use mica_cases::{History, listing, tree};
use mica_engine::DiffParent;
use std::path::Path;

/// What became of one step.
struct Layer {
    id: String,
    copy: String,
    expected: Vec<Node>,
    /// The copy: where the archive did not name a directory, its time is that of the copy below.
    copied: Vec<Node>,
}

/// Plays a history and removes what it made.
pub(crate) fn play(stage: &Stage, history: &History) -> Step<()> {
    let model = place("make a plain directory", stage.scratch("model"))?;
    let mut layers: Vec<Layer> = Vec::new();
    for (number, script) in history.steps.iter().enumerate() {
        let before = model_nodes(&model)?;
        tree::try_build(&model, script).map_err(|error| no_place(&format!("{error:#}")))?;
        let id = format!("{}-{number}", history.name);
        let mut layer = Layer {
            copy: format!("{id}-copy"),
            id,
            expected: model_nodes(&model)?,
            copied: Vec::new(),
        };
        write(stage, &layer, layers.last(), &before, script)?;
        layer.copied = check_archives(stage, &layer, layers.last())?;
        let is_last = number + 1 == history.steps.len();
        check_changes(stage, history, &layer, &before, is_last)?;
        layers.push(layer);
    }
    for layer in &layers {
        let seen = print(&stage.seen(&layer.id)?);
        same(VIEW, &layer.id, &print(&layer.expected), &seen)?;
    }
    for layer in layers.iter().rev() {
        stage.remove(&layer.id)?;
        stage.remove(&layer.copy)?;
    }
    Ok(())
}

/// The nodes of a plain directory.
pub(crate) fn model_nodes(model: &Path) -> Step<Vec<Node>> {
    let nodes = try_nodes(model).map_err(|error| no_place(&format!("{error:#}")))?;
    Ok(as_layered(&nodes))
}

/// A script that does not work on a plain directory.
pub(crate) fn no_place(seen: &str) -> Box<Mismatch> {
    Mismatch::new("the script on a plain directory", None, "it works", seen)
}

fn write(
    stage: &Stage,
    layer: &Layer,
    below: Option<&Layer>,
    before: &[Node],
    script: &str,
) -> Step<()> {
    let (id, expected) = (layer.id.as_str(), print(&layer.expected));
    stage.create(id, below.map(|below| below.id.as_str()))?;
    let path = stage.mount(id)?;
    same(CREATE, id, &print(before), &print(&read(&path, GET, id)?))?;
    stage.write_at(id, &path, script)?;
    same(GET, id, &expected, &print(&read(&path, GET, id)?))?;
    let left = stage.unmount(id)?;
    holds(left == 0, (GET, id), "no reference is left", || {
        left.to_string()
    })?;
    same(VIEW, id, &expected, &print(&stage.seen(id)?))
}

/// Checks the archives of a layer, and returns what its copy looks like.
fn check_archives(stage: &Stage, layer: &Layer, below: Option<&Layer>) -> Step<Vec<Node>> {
    let (id, copy) = (layer.id.as_str(), layer.copy.as_str());
    let diff = stage.diff(id, DiffParent::Own)?;
    let again = stage.diff(id, DiffParent::Own)?;
    let twice = "the same bytes the second time";
    holds(diff == again, (DIFF, id), twice, || {
        format!("{} bytes, then {} others", diff.len(), again.len())
    })?;
    let entries = listing::try_list(&diff).map_err(|error| {
        let seen = format!("{error:#}");
        Mismatch::new(DIFF, Some(id), "a whole tar archive", &seen)
    })?;
    let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    let mut once = names.clone();
    once.sort();
    once.dedup();
    let each = "each name once in the archive";
    holds(once.len() == names.len(), (DIFF, id), each, || {
        format!("{} names, {} different", names.len(), once.len())
    })?;
    stage.create(copy, below.map(|below| below.copy.as_str()))?;
    let report = stage.apply(copy, &diff)?;
    let size: u64 = entries.iter().map(|entry| entry.size).sum();
    let told = (report.size_bytes, report.entries);
    let counted = (size, entries.len() as u64);
    let expected = format!("{} bytes in {} entries", counted.0, counted.1);
    holds(told == counted, (APPLY, copy), &expected, || {
        format!("{} bytes in {} entries", told.0, told.1)
    })?;
    let below = below.map_or(&[][..], |below| &below.copied);
    let copied = copied(&layer.expected, &names, below);
    same(APPLY, copy, &print(&copied), &print(&stage.seen(copy)?))?;
    let lines: String = entries.iter().map(|entry| entry.line() + "\n").collect();
    let of_copy = stage.diff(copy, DiffParent::Own)?;
    if of_copy != diff {
        let entries = listing::try_list(&of_copy).unwrap_or_default();
        let seen: String = entries.iter().map(|entry| entry.line() + "\n").collect();
        return Err(Mismatch::lines(DIFF, copy, &lines, &seen));
    }
    Ok(copied)
}

fn check_changes(
    stage: &Stage,
    history: &History,
    layer: &Layer,
    before: &[Node],
    is_last: bool,
) -> Step<()> {
    let (id, after) = (layer.id.as_str(), &layer.expected);
    let lines = |text: &String| {
        let lines = text.trim().lines();
        lines.map(|line| format!("{}\n", line.trim())).collect()
    };
    let plain: String = match history.changes.as_ref().filter(|_| is_last) {
        Some(written) => lines(written),
        None => compared(before, after),
    };
    let native = history.native_changes.as_ref().filter(|_| is_last);
    let native: Option<String> = native.map(lines);
    for (layer, expected) in [
        (id, plain.clone()),
        (&layer.copy, without_sockets(&plain, before, after)),
    ] {
        let told = stage.changes(layer, &DiffParent::Own)?;
        // Whoever reads an upper directory rightly sees more than whoever compares.
        let is_native = stage.facts.stacked
            && match &native {
                Some(native) => *native == told,
                None if is_last && history.changes.is_some() => false,
                None => check_native(&expected, &told, before, after).is_ok(),
            };
        if !is_native {
            same(CHANGES, layer, &expected, &told)?;
        }
    }
    let all = stage.changes(id, &DiffParent::None)?;
    same(CHANGES, id, &compared(&empty(after), after), &all)?;
    let (size, told) = (size_of(after), stage.size(id, &DiffParent::None)?);
    holds(size == told, (SIZE, id), &size.to_string(), || {
        told.to_string()
    })
}
