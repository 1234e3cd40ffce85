//! `mica layer explore`: which layer each file of a chain comes from, which one hides it, and how many bytes are there for nothing.
//!
//! Invariant: the daemon is asked once for all layers; what is shown and what is judged is the same model.

mod duplicates;
mod model;
mod plain;
mod screen;
mod terminal;

use std::io::{IsTerminal as _, stdin, stdout};

use serde_json::{Value, json};

use super::chain;
use super::target;
use crate::api::types::OriginView;
use crate::cli::context::Context;
use duplicates::Duplicate;
use mica_client::progress::count_bar;
use mica_client::{Exit, Failure};
use model::{Explored, Node, Reading};

pub(super) const EXAMPLES: &str = "\
On a terminal this is a view to move in: the layers of the chain on the left, files on the right, the keys below. Otherwise it
prints the layers, the most wasteful paths and the tree, or with --json a document. Efficiency is the part of the bytes of all layers
that can be seen in the topmost one; the others are replaced or deleted by layers above.

Examples:
  mica layer explore box
  mica layer explore box --json | jq .efficiency
  mica layer explore box --json --files          with each path, who added it and who hid it
  mica layer explore box --lowest-efficiency 0.95 --plain > report.txt     ends with 9 if it is less";

/// Arguments of `mica layer explore`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExploreArguments {
    /// The topmost layer of the chain
    id: String,
    /// Print text, also on a terminal
    #[arg(long)]
    plain: bool,
    /// Tell every path in the document, not only the wasteful ones
    #[arg(long)]
    files: bool,
    /// Read files of the same size too, and tell which ones are the same
    #[arg(long)]
    duplicates: bool,
    /// End with exit code 9 if a smaller part of the bytes can be seen: from 0 to 1
    #[arg(long, value_name = "PART", value_parser = part)]
    lowest_efficiency: Option<f64>,
}

/// Reads a part of a whole.
fn part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err(format!("`{text}` is no number from 0 to 1")),
    }
}

/// Shows a chain, and judges it.
pub(super) fn explore(context: &Context, arguments: &ExploreArguments) -> Result<(), Failure> {
    let ExploreArguments { id, .. } = arguments;
    // A terminal that was changed is put right before the program ends.
    let context = &context.heeding()?;
    let explored = read(context, id)?;
    let duplicates = match arguments.duplicates {
        true => Some(duplicates::find(context, id, &explored)?),
        false => None,
    };
    let is_screen = stdin().is_terminal()
        && stdout().is_terminal()
        && !context.printer.is_for_programs()
        && !arguments.plain;
    if is_screen {
        screen::run(context, &explored)?;
    } else {
        let found = duplicates.as_deref();
        let document = document(context, id, (&explored, found), arguments.files);
        context
            .printer
            .result(&document, || plain::text(&explored, found))?;
    }
    match arguments.lowest_efficiency {
        Some(lowest) if explored.efficiency() < lowest => Err(Failure::Told {
            what: format!(
                "the efficiency of layer `{id}` is {:.4}, and {lowest} is the lowest that is asked for",
                explored.efficiency()
            ),
            remedy: Some(
                "build the layers so that they do not replace or delete what is below; `mica layer explore --plain` tells the most wasteful paths"
                    .to_owned(),
            ),
            exit: Exit::Findings,
            code: Some("inefficient"),
        }),
        _ => Ok(()),
    }
}

/// Asks the daemon for all of a chain.
fn read(context: &Context, id: &str) -> Result<Explored, Failure> {
    let chain = chain::chain(context, &context.store, id)?;
    let mut reading = Reading::new(chain.into_iter().map(|layer| layer.id));
    let bar = count_bar(format!("read {id}"), None);
    context.client.get_lines(
        &target(context, id, "/origins"),
        &mut |origin: OriginView| {
            bar.inc(1);
            reading.take(origin);
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    Ok(reading.finish())
}

/// All of it for programs.
fn document(
    context: &Context,
    id: &str,
    (explored, duplicates): (&Explored, Option<&[Duplicate]>),
    with_files: bool,
) -> Value {
    let layers = explored.layers.iter().zip(1..).map(|(layer, depth)| {
        json!({
            "id": layer.id, "depth": depth,
            "added": layer.added, "modified": layer.modified, "deleted": layer.deleted,
            "bytes": layer.bytes, "hidden_bytes": layer.hidden_bytes, "hides_bytes": layer.hides_bytes,
        })
    });
    let wasteful = explored.wasteful();
    let mut document = json!({
        "store": context.store,
        "layer": id,
        "layers": layers.collect::<Vec<_>>(),
        "files": explored.visible().count(),
        "bytes": explored.bytes(),
        "wasted_bytes": explored.wasted_bytes(),
        "efficiency": explored.efficiency(),
        "wasted": wasteful.iter().map(|node| path_document(explored, node)).collect::<Vec<_>>(),
    });
    let Some(fields) = document.as_object_mut() else {
        return document;
    };
    if let Some(found) = duplicates {
        let bytes = model::sum(found.iter().map(Duplicate::wasted_bytes));
        fields.insert("duplicate_bytes".to_owned(), json!(bytes));
        fields.insert("duplicates".to_owned(), json!(found));
    }
    if with_files {
        let paths = explored.nodes.iter();
        let paths: Vec<_> = paths.map(|node| path_document(explored, node)).collect();
        fields.insert("paths".to_owned(), json!(paths));
    }
    document
}

/// A path for programs: who added it, and who hid it.
fn path_document(explored: &Explored, node: &Node) -> Value {
    let id = |layer: usize| explored.layers.get(layer).map(|layer| &layer.id);
    let versions = node.versions.iter().map(|version| {
        json!({
            "layer": id(version.layer), "change": version.change, "kind": version.kind, "bytes": version.bytes,
            "hidden_by": version.hidden_by.filter(|by| *by != version.layer).and_then(id),
            "wasted_bytes": version.wasted_bytes,
        })
    });
    let mut document = json!({
        "path": node.path,
        "wasted_bytes": node.wasted_bytes(),
        "versions": versions.collect::<Vec<_>>(),
    });
    if let (Some(exact), Some(fields)) = (&node.path_base64, document.as_object_mut()) {
        fields.insert("path_base64".to_owned(), json!(exact));
    }
    document
}
