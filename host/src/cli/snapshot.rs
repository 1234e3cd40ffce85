//! `mica snapshot`.
//!
//! Invariant: talks REST and prints; a key is shown so that it cannot move the cursor.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use mica_client::Failure;
use mica_client::segment;
use mica_client::words;
use mica_client::{Column, pairs, table};

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
    Ls,
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
        SnapshotCommand::Ls => list(context),
        SnapshotCommand::Inspect { key } => {
            let document = context.client.get(&target(context, &key, ""))?;
            context.printer.result(&document, || describe(&document))
        }
        SnapshotCommand::Usage { key } => {
            let document = context.client.get(&target(context, &key, "/usage"))?;
            context.printer.result(&document, || {
                let (bytes, inodes) = usage(&document);
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
    let mut snapshots = Vec::new();
    let mut query = String::new();
    loop {
        let mut page = context
            .client
            .get(&format!("{}{query}", all_target(context)))?;
        if let Some(Value::Array(items)) = page.get_mut("snapshots").map(Value::take) {
            snapshots.extend(items);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => query = format!("?after={}", segment(next)),
            None => return Ok(snapshots),
        }
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let snapshots = all(context)?;
    let document = json!({ "snapshots": snapshots });
    context.printer.result(&document, || {
        let rows = snapshots.iter().map(|snapshot| {
            let (bytes, inodes) = usage(snapshot.get("usage").unwrap_or(&Value::Null));
            vec![
                words::field(snapshot, "key"),
                words::field(snapshot, "kind"),
                words::field(snapshot, "parent"),
                bytes,
                inodes,
                words::moment(snapshot, "created"),
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
fn usage(document: &Value) -> (String, String) {
    let measured = |name| document.get(name).and_then(Value::as_u64);
    let size = measured("bytes").map_or_else(|| "-".to_owned(), words::bytes);
    (size, words::field(document, "inodes"))
}

fn describe(document: &Value) -> String {
    let (size, inodes) = usage(document.get("usage").unwrap_or(&Value::Null));
    let mut text = pairs([
        ("key", words::field(document, "key")),
        ("kind", words::field(document, "kind")),
        ("parent", words::field(document, "parent")),
        ("layer", words::field(document, "layer")),
        ("created", words::moment(document, "created")),
        ("updated", words::moment(document, "updated")),
        ("size", size),
        ("inodes", inodes),
    ]);
    let labels = words::pairs(document, "labels");
    if !labels.is_empty() {
        text.push_str("\nlabels\n");
        let indented: Vec<_> = labels
            .into_iter()
            .map(|(name, value)| (format!("  {name}"), value))
            .collect();
        text.push_str(&pairs(
            indented
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        ));
    }
    text
}
