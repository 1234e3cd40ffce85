//! `mica store`.
//!
//! Invariant: talks REST and prints.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::waiting::{Sought, with_bar};
use crate::api::types::{MoveReport, Pairs, StoreList, StoreRequest, StoreView};
use mica_client::{Column, Exit, Failure, pairs, read, segment, table, words};

/// A command of `mica store`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List the stores
    #[command(visible_alias = "list")]
    Ls {
        /// Only names, one a line
        #[arg(short, long)]
        quiet: bool,
    },
    /// Make a store
    #[command(after_help = "\
Examples:
  mica store create scratch --driver vfs
  mica store create images --driver overlay --opt mount_program=none
  mica driver inspect overlay               tells the options of a driver")]
    Create {
        /// The new name
        name: String,
        /// The driver; without it the daemon chooses, and says why
        #[arg(long, value_name = "NAME")]
        driver: Option<String>,
        /// An option of the driver; may be given more than once
        #[arg(long = "opt", value_name = "KEY=VALUE", value_parser = key_value)]
        options: Vec<(String, String)>,
    },
    /// Tell all about a store
    Inspect {
        /// The store
        name: String,
    },
    /// Remove a store that has no layers
    Rm {
        /// The store
        name: String,
        /// Tell whether it would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give a store another name
    #[command(after_help = RENAME_EXAMPLES)]
    Rename {
        /// The store
        name: String,
        /// The new name
        new_name: String,
    },
    /// Move a store to another directory, on another disk for instance
    #[command(after_help = MOVE_EXAMPLES)]
    Move(MoveArguments),
}

/// Where a store is moved to.
#[derive(Debug, clap::Args)]
#[group(id = "place", required = true, multiple = false)]
struct Destination {
    /// The directory in which the store's own will lie: an absolute path, on whatever file system
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Back below the daemon's root
    #[arg(long)]
    back: bool,
}

/// Arguments of `mica store move`.
#[derive(Debug, clap::Args)]
pub(crate) struct MoveArguments {
    /// The store
    name: String,
    #[command(flatten)]
    destination: Destination,
    /// Tell what would be moved and what is in the way, and move nothing
    #[arg(long)]
    dry_run: bool,
}

const MOVE_EXAMPLES: &str = "\
All of it is copied, compared with the original and synced. Then the store is switched over in one step, its driver is asked whether it
can work there, and the original is removed. Until then nothing of it changes: whatever ends the move, also a power failure, the store
is where it was, and a start removes what was copied. Meanwhile the store cannot be used.

Refused as `mica store rename` is, where there is no room, for subvolumes of btrfs, and for a directory that others than root may
change. The daemon's root keeps a link to the store: mount its file system before the daemon starts.

Examples:
  mica store move images --to /mnt/disk --dry-run
  mica store move images --to /mnt/disk
  mica store move images --back";

const RENAME_EXAMPLES: &str = "\
The store keeps its layers, and its directory gets the new name. Refused while a layer is mounted or operations run in it, and for a
store that Docker or containerd has, because they know it by its name.

Examples:
  mica store rename scratch images";

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("an option reads like key=value".to_owned()),
    }
}

/// Options of a request. One that is given twice would be lost.
pub(crate) fn options(given: Vec<(String, String)>) -> Result<Pairs, Failure> {
    let mut seen = BTreeSet::new();
    match given.iter().find(|(key, _)| !seen.insert(key)) {
        None => Ok(Pairs(given)),
        Some((key, _)) => Err(Failure::Usage {
            what: format!("option `{key}` is given twice"),
            remedy: "give each option once",
        }),
    }
}

/// Runs a command of `mica store`.
pub(crate) fn run(context: &Context, command: StoreCommand) -> Result<(), Failure> {
    let Context {
        client, printer, ..
    } = context;
    match command {
        StoreCommand::Ls { quiet } => {
            let document = json!({ "stores": context.all("/v1/stores", "stores")? });
            printer.view(&document, |stores: &StoreList| match quiet {
                true => words::lines(stores.stores.iter().map(|store| &store.name)),
                false => list(stores),
            })
        }
        StoreCommand::Create {
            name,
            driver,
            options: given,
        } => {
            let request = StoreRequest {
                name,
                driver,
                options: options(given)?,
                client: None,
            };
            // A driver that nobody needed yet is compiled now.
            let sought = Sought::of("create_store");
            let message = format!("create {}", request.name);
            let document = with_bar(context, &message, &sought, || {
                client.post("/v1/stores", Some(&json!(request)))
            })?;
            printer.view(&document, |made: &StoreView| {
                if let Some(reason) = &made.chosen {
                    let driver = words::told(&made.driver);
                    printer.note(&format!("driver `{driver}`: {}", words::told(reason)));
                }
                words::told(&made.name)
            })
        }
        StoreCommand::Inspect { name } => {
            let document = client.get(&format!("/v1/stores/{}", segment(&name)))?;
            printer.view(&document, describe)
        }
        StoreCommand::Rename { name, new_name } => {
            let target = format!("/v1/stores/{}/rename", segment(&name));
            let document = client.post(&target, Some(&json!({ "name": new_name })))?;
            printer.view(&document, |store: &StoreView| words::told(&store.name))
        }
        StoreCommand::Move(arguments) => relocate(context, &arguments),
        StoreCommand::Rm { name, dry_run } => remove(context, &name, dry_run),
    }
}

/// Moves a store, or tells what would be moved.
fn relocate(context: &Context, arguments: &MoveArguments) -> Result<(), Failure> {
    let MoveArguments {
        name,
        destination,
        dry_run,
    } = arguments;
    let body = match &destination.to {
        Some(to) => {
            let not_text = || Failure::Usage {
                what: format!("`{}` is no text", to.display()),
                remedy: "name a directory whose path is UTF-8",
            };
            json!({ "to": to.to_str().ok_or_else(not_text)? })
        }
        None => json!({}),
    };
    let target = format!("/v1/stores/{}/move?dry_run={dry_run}", segment(name));
    let context = &context.heeding()?;
    let sought = Sought {
        operation: "move_store",
        store: Some(name.clone()),
        layer: None,
    };
    let document = with_bar(context, &format!("move {name}"), &sought, || {
        context.client.post(&target, Some(&body))
    })?;
    context.printer.view(&document, moved)?;
    let report = read::<MoveReport>(&document).filter(|_| *dry_run);
    match report.as_ref().and_then(|report| report.obstacles.first()) {
        None => Ok(()),
        Some(first) => Err(Failure::Told {
            what: format!(
                "store `{}` would not be moved: {}",
                words::safe(name),
                words::safe(&first.detail)
            ),
            remedy: None,
            exit: Exit::Conflict,
            code: Some("busy"),
        }),
    }
}

/// What was moved, or would be.
fn moved(report: &MoveReport) -> String {
    if !report.is_dry_run {
        return words::told(&report.to.display().to_string());
    }
    let obstacles = report.obstacles.iter();
    let obstacles: Vec<_> = obstacles.map(|one| one.detail.clone()).collect();
    pairs([
        ("store", words::told(&report.store)),
        ("from", words::told(&report.from.display().to_string())),
        ("to", words::told(&report.to.display().to_string())),
        ("layers", report.layers.to_string()),
        ("files", report.files.to_string()),
        ("occupies", words::bytes(report.bytes)),
        ("needs", words::bytes(report.needed_bytes)),
        ("free there", words::bytes(report.free_bytes)),
        ("in the way", words::told(&obstacles)),
    ])
}

/// Removes a store, or tells whether it would be removed.
fn remove(context: &Context, name: &str, is_dry_run: bool) -> Result<(), Failure> {
    let Context {
        client, printer, ..
    } = context;
    let target = format!("/v1/stores/{}", segment(name));
    if !is_dry_run {
        client.delete(&target)?;
        return printer.result(&json!({ "removed": name }), || name.to_owned());
    }
    let document = client.get(&target)?;
    let (layers, mounts) = (
        words::number(&document, "layers"),
        words::number(&document, "mounts"),
    );
    if layers > 0 || document.get("holds_snapshots") == Some(&json!(true)) {
        return Err(Failure::Told {
            what: format!("store `{name}` has {layers} layers, {mounts} of them mounted"),
            remedy: Some(format!(
                "see what keeps them with `mica gc --store {name}`, and remove them first"
            )),
            exit: Exit::Conflict,
            code: Some("busy"),
        });
    }
    printer.result(&json!({ "would_remove": [name] }), || name.to_owned())
}

fn list(list: &StoreList) -> String {
    let rows = list.stores.iter().map(|store| {
        vec![
            words::told(&store.name),
            words::told(&store.driver),
            store.layers.to_string(),
            store.mounts.to_string(),
            words::told(&store.backing.filesystem),
            words::told(&store.path),
        ]
    });
    let columns = [
        Column::Text("name"),
        Column::Text("driver"),
        Column::Number("layers"),
        Column::Number("mounts"),
        Column::Text("on"),
        Column::Text("path"),
    ];
    table(&columns, rows.collect())
}

fn describe(store: &StoreView) -> String {
    let backing = &store.backing;
    let file_system = format!(
        "{}, {} of {} free",
        words::told(&backing.filesystem),
        words::bytes(backing.free_bytes),
        words::bytes(backing.total_bytes),
    );
    let text = pairs([
        ("name", words::told(&store.name)),
        ("driver", words::told(&store.driver)),
        ("chosen", words::told(&store.chosen)),
        ("created", words::seconds(&store.created)),
        ("path", words::told(&store.path)),
        ("layers", store.layers.to_string()),
        ("mounts", store.mounts.to_string()),
        ("file system", file_system),
        ("unavailable", words::told(&store.unavailable)),
    ]);
    let options = words::section("options", &store.options.0);
    let status = words::section("the driver says", &store.status.0);
    format!("{text}{options}{status}")
}
