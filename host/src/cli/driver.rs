//! `mica driver`.
//!
//! Invariant: a component is sent as it is; whether it is one is for the daemon to say.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::context::Context;
use super::store::items;
use mica_client::Failure;
use mica_client::segment;
use mica_client::words;
use mica_client::{Column, pairs, table};

/// A command of `mica driver`.
#[derive(Debug, Subcommand)]
pub(crate) enum DriverCommand {
    /// List the drivers
    #[command(visible_alias = "list")]
    Ls,
    /// Tell all about a driver: build, imports, grants, options
    Inspect {
        /// The driver
        name: String,
    },
    /// Load a driver from a component
    #[command(after_help = "\
The daemon keeps the component and loads it again at its next start. What it imports must be granted: see [drivers.NAME]
in the configuration. A name that is taken is refused; `mica driver swap` replaces a build.

Examples:
  mica driver load hello_driver.wasm
  mica store create try --driver hello")]
    Load {
        /// The component
        file: PathBuf,
        /// Refuse it unless it calls itself like this
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Replace the build of a driver while it is in use
    #[command(after_help = "\
The new build is compiled and tried in a scratch store first; if anything fails, the old one stays. Operations that
run end on the old build. Mounts do not move, and no layer is touched.

Examples:
  mica driver swap overlay overlay-1.1.wasm
  mica driver swap overlay                  load the build that was there before, or the same one anew")]
    Swap {
        /// The driver
        name: String,
        /// The new component
        file: Option<PathBuf>,
    },
    /// End a quarantine: let a driver be called again that broke too often
    #[command(after_help = "\
A driver that breaks twice in operations on one layer is not called for that layer any more, after three times not for its
store, and not at all when layers of three stores made it break. `mica status` tells; mounts stay up. Its faults
count from zero after a release.

Examples:
  mica driver release overlay                              for everyone, all stores and layers
  mica driver release overlay --store default
  mica driver release overlay --store default --layer a")]
    Release {
        /// The driver
        name: String,
        /// Only for this store and its layers
        #[arg(long, value_name = "NAME")]
        store: Option<String>,
        /// Only for this layer of the store
        #[arg(long, value_name = "ID", requires = "store")]
        layer: Option<String>,
    },
}

/// Runs a command of `mica driver`.
pub(crate) fn run(context: &Context, command: DriverCommand) -> Result<(), Failure> {
    let Context {
        client, printer, ..
    } = context;
    match command {
        DriverCommand::Ls => {
            let document = client.get("/v1/drivers")?;
            printer.result(&document, || list(&document))
        }
        DriverCommand::Inspect { name } => {
            let document = client.get(&format!("/v1/drivers/{}", segment(&name)))?;
            printer.result(&document, || describe(&document))
        }
        DriverCommand::Load { file, name } => {
            let query = name
                .map(|name| format!("?name={}", segment(&name)))
                .unwrap_or_default();
            let document = client.post_bytes(&format!("/v1/drivers{query}"), read(&file)?)?;
            printer.result(&document, || {
                let (name, version) = (
                    words::field(&document, "name"),
                    words::field(&document, "version"),
                );
                format!("{name} {version}, {}", short(&document, "digest"))
            })
        }
        DriverCommand::Swap { name, file } => {
            let target = format!("/v1/drivers/{}/swap", segment(&name));
            let document = match file {
                Some(file) => client.post_bytes(&target, read(&file)?)?,
                None => client.post(&target, None)?,
            };
            printer.result(&document, || swapped(&document))
        }
        DriverCommand::Release { name, store, layer } => {
            let parts = [("store", store), ("layer", layer)].into_iter();
            let query: Vec<String> = parts
                .filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?))))
                .collect();
            let query = match query.is_empty() {
                true => String::new(),
                false => format!("?{}", query.join("&")),
            };
            let target = format!("/v1/drivers/{}/release{query}", segment(&name));
            let document = client.post(&target, None)?;
            printer.result(&document, || released(&document))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(file).map_err(Failure::io(format!("read `{}`", file.display())))?;
    if bytes.is_empty() {
        return Err(Failure::Untrue {
            what: format!("`{}` is empty", file.display()),
            remedy: Some("name a WebAssembly component".to_owned()),
        });
    }
    Ok(bytes)
}

fn short(document: &Value, name: &str) -> String {
    words::short_digest(&words::field(document, name))
}

fn list(document: &Value) -> String {
    let rows = items(document, "drivers").iter().map(|driver| {
        vec![
            words::field(driver, "name"),
            words::field(driver, "version"),
            words::field(driver, "world"),
            words::field(driver, "origin"),
            words::number(driver, "generation").to_string(),
            short(driver, "digest"),
            words::field(driver, "stores"),
            match items(driver, "quarantines").len() {
                0 => "-".to_owned(),
                _ => quarantines(driver).join(", "),
            },
        ]
    });
    let columns = [
        Column::Text("name"),
        Column::Text("version"),
        Column::Text("world"),
        Column::Text("origin"),
        Column::Number("generation"),
        Column::Text("digest"),
        Column::Text("stores"),
        Column::Text("quarantined"),
    ];
    table(&columns, rows.collect())
}

fn describe(driver: &Value) -> String {
    let world = match driver.get("composed").and_then(Value::as_bool) {
        Some(true) => format!(
            "{}, composed with naive-diff",
            words::field(driver, "world")
        ),
        _ => words::field(driver, "world"),
    };
    let mut text = pairs([
        ("name", words::field(driver, "name")),
        ("version", words::field(driver, "version")),
        ("summary", words::field(driver, "summary")),
        ("world", world),
        ("origin", words::field(driver, "origin")),
        ("digest", words::field(driver, "digest")),
        ("size", words::bytes(words::number(driver, "size_bytes"))),
        (
            "generation",
            words::number(driver, "generation").to_string(),
        ),
        ("loaded", words::moment(driver, "loaded")),
        ("previous", words::field(driver, "previous")),
        ("stores", words::field(driver, "stores")),
        ("operations", operations(driver)),
        ("grants", words::field(driver, "grants")),
    ]);
    let quarantines = items(driver, "quarantines");
    if !quarantines.is_empty() {
        text.push_str("\nquarantined\n");
        for quarantine in quarantines {
            let (since, reason) = (
                words::moment(quarantine, "since"),
                words::field(quarantine, "reason"),
            );
            text.push_str(&format!(
                "  {}, since {since}: {reason}\n",
                kept(quarantine)
            ));
        }
    }
    text.push_str("\nimports\n");
    for import in words::list(driver, "imports") {
        text.push_str(&format!("  {}\n", words::text(import)));
    }
    let options = words::pairs(driver, "options");
    if !options.is_empty() {
        text.push_str("\noptions\n");
        for (name, meaning) in options {
            text.push_str(&format!("  {name}  {meaning}\n"));
        }
    }
    text
}

/// Who is kept from calling a driver.
fn kept(quarantine: &Value) -> String {
    let part = |name| quarantine.get(name).map(words::text);
    match (part("store"), part("layer")) {
        (Some(store), Some(layer)) => format!("layer {layer} of store {store}"),
        (Some(store), None) => format!("store {store}"),
        (None, _) => "everyone".to_owned(),
    }
}

fn quarantines(driver: &Value) -> Vec<String> {
    items(driver, "quarantines").iter().map(kept).collect()
}

fn released(report: &Value) -> String {
    let driver = words::field(report, "driver");
    let ended = items(report, "released");
    if ended.is_empty() {
        return format!("{driver}: nothing was quarantined");
    }
    let lines = ended
        .iter()
        .map(|quarantine| format!("{driver}: released for {}", kept(quarantine)));
    lines.collect::<Vec<_>>().join("\n")
}

fn operations(driver: &Value) -> String {
    let count = |name| words::number(driver, name);
    format!(
        "{} begun, {} running, {} broken",
        count("operations"),
        count("running"),
        count("faults")
    )
}

fn swapped(report: &Value) -> String {
    let (old, new) = (short(report, "old_digest"), short(report, "new_digest"));
    let change = if old == new {
        format!("{new} anew")
    } else {
        format!("{old} -> {new}")
    };
    let drained = match report.get("drained").and_then(Value::as_bool) {
        Some(false) => "; operations of the old build were ended at the deadline",
        _ => "",
    };
    format!(
        "{}: {change}, compiled in {} ms, tried in {} ms{drained}",
        words::field(report, "driver"),
        words::number(report, "compile_ms"),
        words::number(report, "probe_ms"),
    )
}
