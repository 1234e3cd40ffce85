//! `mica store`.
//!
//! Invariant: talks REST and prints.

use std::collections::BTreeSet;

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use crate::api::types::{Pairs, StoreList, StoreRequest, StoreView};
use mica_client::{Column, Failure, pairs, segment, table, words};

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
    },
}

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
            let document = client.post("/v1/stores", Some(&json!(request)))?;
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
        StoreCommand::Rm { name } => {
            client.delete(&format!("/v1/stores/{}", segment(&name)))?;
            printer.result(&json!({ "removed": name }), || name.clone())
        }
    }
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
