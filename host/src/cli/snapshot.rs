//! `mica snapshot`.
//!
//! Invariant: talks REST and prints; a key is shown so that it cannot move the cursor.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use crate::api::types::{SnapshotList, SnapshotUsage, SnapshotView};
use mica_client::{Column, Failure, pairs, segment, table, words};

/// A command of `mica snapshot`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Snapshots are what a containerd holds in its store; see examples/containerd. Only containerd changes them.

Examples:
  mica snapshot ls
  mica snapshot inspect default/9/box
  mica snapshot usage --store other default/9/box")]
pub(crate) enum SnapshotCommand {
    /// List the snapshots of the store
    #[command(visible_alias = "list")]
    Ls {
        /// Only keys and names, one a line
        #[arg(short, long)]
        quiet: bool,
    },
    /// Tell all about a snapshot
    Inspect {
        /// The key or name
        key: String,
    },
    /// Tell what a snapshot takes on the device, without what lies below it
    Usage {
        /// The key or name
        key: String,
    },
}

/// Runs a command of `mica snapshot`.
pub(crate) fn run(context: &Context, command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Ls { quiet } => list(context, quiet),
        SnapshotCommand::Inspect { key } => {
            let document = context.client.get(&target(context, &key, ""))?;
            context.printer.view(&document, describe)
        }
        SnapshotCommand::Usage { key } => {
            let document = context.client.get(&target(context, &key, "/usage"))?;
            context.printer.view(&document, |measured: &SnapshotUsage| {
                let (bytes, inodes) = usage(Some(measured));
                pairs([("size", bytes), ("inodes", inodes)])
            })
        }
    }
}

fn all_target(context: &Context) -> String {
    format!("/v1/stores/{}/snapshots", segment(&context.store))
}

fn target(context: &Context, key: &str, rest: &str) -> String {
    format!("{}/{}{rest}", all_target(context), segment(key))
}

/// Every snapshot of the store, in byte order of the keys.
fn all(context: &Context) -> Result<Vec<Value>, Failure> {
    context.all(&all_target(context), "snapshots")
}

fn list(context: &Context, is_quiet: bool) -> Result<(), Failure> {
    let document = json!({ "snapshots": all(context)? });
    context.printer.view(&document, |list: &SnapshotList| {
        if is_quiet {
            return words::lines(list.snapshots.iter().map(|snapshot| &snapshot.key));
        }
        let rows = list.snapshots.iter().map(|snapshot| {
            let (bytes, inodes) = usage(snapshot.usage.as_ref());
            vec![
                words::told(&snapshot.key),
                words::told(&snapshot.kind),
                words::told(&snapshot.parent),
                bytes,
                inodes,
                words::seconds(&snapshot.created),
            ]
        });
        let columns = [
            Column::Text("key"),
            Column::Text("kind"),
            Column::Text("parent"),
            Column::Number("size"),
            Column::Number("inodes"),
            Column::Text("created"),
        ];
        table(&columns, rows.collect())
    })
}

/// Size and inodes; a dash each where they were not measured.
fn usage(measured: Option<&SnapshotUsage>) -> (String, String) {
    let size = measured.map_or_else(|| "-".to_owned(), |measured| words::bytes(measured.bytes));
    let inodes = measured.and_then(|measured| measured.inodes);
    (size, words::told(&inodes))
}

fn describe(snapshot: &SnapshotView) -> String {
    let (size, inodes) = usage(snapshot.usage.as_ref());
    let text = pairs([
        ("key", words::told(&snapshot.key)),
        ("kind", words::told(&snapshot.kind)),
        ("parent", words::told(&snapshot.parent)),
        ("layer", words::told(&snapshot.layer)),
        ("created", words::seconds(&snapshot.created)),
        ("updated", words::seconds(&snapshot.updated)),
        ("size", size),
        ("inodes", inodes),
    ]);
    let labels = snapshot.labels.clone().into_iter().collect::<Vec<_>>();
    format!("{text}{}", words::section("labels", &labels))
}
