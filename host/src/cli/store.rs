//! `mica store`.
//!
//! Invariant: talks REST and prints.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use mica_client::Failure;
use mica_client::segment;
use mica_client::words;
use mica_client::{Column, pairs, table};

/// A command of `mica store`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List the stores
    #[command(visible_alias = "list")]
    Ls,
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

/// Options as an object. One that is given twice would be lost in it.
pub(crate) fn object(options: &[(String, String)]) -> Result<Value, Failure> {
    let mut object = serde_json::Map::new();
    for (key, value) in options {
        if object.insert(key.clone(), json!(value)).is_some() {
            return Err(Failure::Usage {
                what: format!("option `{key}` is given twice"),
                remedy: "give each option once",
            });
        }
    }
    Ok(object.into())
}

/// Runs a command of `mica store`.
pub(crate) fn run(context: &Context, command: StoreCommand) -> Result<(), Failure> {
    let Context {
        client, printer, ..
    } = context;
    match command {
        StoreCommand::Ls => {
            let document = client.get("/v1/stores")?;
            printer.result(&document, || list(&document))
        }
        StoreCommand::Create {
            name,
            driver,
            options,
        } => {
            let mut request = json!({ "name": name, "options": object(&options)? });
            if let (Some(driver), Some(fields)) = (driver, request.as_object_mut()) {
                fields.insert("driver".to_owned(), json!(driver));
            }
            let document = client.post("/v1/stores", Some(&request))?;
            if let Some(reason) = document.get("chosen").and_then(Value::as_str) {
                let driver = words::field(&document, "driver");
                printer.note(&format!("driver `{driver}`: {reason}"));
            }
            printer.result(&document, || words::field(&document, "name"))
        }
        StoreCommand::Inspect { name } => {
            let document = client.get(&format!("/v1/stores/{}", segment(&name)))?;
            printer.result(&document, || describe(&document))
        }
        StoreCommand::Rm { name } => {
            client.delete(&format!("/v1/stores/{}", segment(&name)))?;
            printer.result(&json!({ "removed": name }), || name.clone())
        }
    }
}

/// Stores of a list, whether it is bare or in an object.
pub(crate) fn items<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document
        .as_array()
        .map_or_else(|| words::list(document, name), Vec::as_slice)
}

fn list(document: &Value) -> String {
    let rows = items(document, "stores").iter().map(|store| {
        let backing = store.get("backing").unwrap_or(&Value::Null);
        vec![
            words::field(store, "name"),
            words::field(store, "driver"),
            words::number(store, "layers").to_string(),
            words::number(store, "mounts").to_string(),
            words::field(backing, "filesystem"),
            words::field(store, "path"),
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

fn describe(store: &Value) -> String {
    let backing = store.get("backing").unwrap_or(&Value::Null);
    let mut text = pairs([
        ("name", words::field(store, "name")),
        ("driver", words::field(store, "driver")),
        ("chosen", words::field(store, "chosen")),
        ("created", words::moment(store, "created")),
        ("path", words::field(store, "path")),
        ("layers", words::number(store, "layers").to_string()),
        ("mounts", words::number(store, "mounts").to_string()),
        ("file system", file_system(backing)),
        ("unavailable", words::field(store, "unavailable")),
    ]);
    for (title, name) in [("options", "options"), ("the driver says", "status")] {
        let found = words::pairs(store, name);
        if !found.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            let indented: Vec<_> = found
                .into_iter()
                .map(|(name, value)| (format!("  {name}"), value))
                .collect();
            text.push_str(&pairs(
                indented
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            ));
        }
    }
    text
}

fn file_system(backing: &Value) -> String {
    format!(
        "{}, {} of {} free",
        words::field(backing, "filesystem"),
        words::bytes(words::number(backing, "free_bytes")),
        words::bytes(words::number(backing, "total_bytes")),
    )
}
