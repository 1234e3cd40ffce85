//! `mica driver manifest`, and manifests that lie beside components.
//!
//! Invariant: an output file is complete or not there; a component gets a manifest that was checked, and changes in nothing else.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use mica_client::{Column, Failure, Printer, pairs, table, words};
use mica_runtime::Grants;
use mica_runtime::manifest::{self, MANIFEST_BYTES, Manifest};
use serde_json::json;

use crate::api::types::ManifestView;
use crate::daemon;

pub(super) const EXAMPLES: &str = "\
A manifest tells an operator what a driver is and what it asks for, each capability with a reason. It is written as TOML:

  manifest = 1
  name = \"my-driver\"              as the driver calls itself
  version = \"1.2.0\"               the same as its own
  licence = \"Apache-2.0\"
  homepage = \"https://driver.example\"
  contract = \"1.0.0\"              the version of the contract that it was built for
  mounts = [\"bind\"]               what it needs of mounts, xattrs and device_nodes; left out, all
  state = { writes = 2, reads = [1, 2] }
  [capabilities]
  btrfs = \"snapshots instead of copies\"
  [limits]
  memory_bytes = 33554432         what is enough for it

Examples:
  mica driver manifest add my-driver.wasm manifest.toml -o my-driver.wasm
  mica driver manifest show my-driver.wasm";

/// What a manifest beside a component is called: the component's name and this.
const BESIDE: &str = ".manifest.toml";

/// A command of `mica driver manifest`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Put a manifest into a component, instead of the one that it has
    Add {
        /// The component
        component: PathBuf,
        /// The manifest, in TOML
        manifest: PathBuf,
        /// Where the component goes; a file that is there is replaced
        #[arg(short = 'o', long = "file", value_name = "FILE")]
        file: PathBuf,
    },
    /// Show the manifest of a component
    Show {
        /// The component
        component: PathBuf,
    },
}

/// Runs a command of `mica driver manifest`.
pub(super) fn run(printer: &Printer, command: ManifestCommand) -> Result<(), Failure> {
    match command {
        ManifestCommand::Add {
            component,
            manifest,
            file,
        } => add(printer, &component, &manifest, &file),
        ManifestCommand::Show { component } => show(printer, &component),
    }
}

fn add(printer: &Printer, component: &Path, manifest: &Path, file: &Path) -> Result<(), Failure> {
    let made = with(&super::read(component)?, &component.display(), manifest)?;
    super::write(file, &made)?;
    let output = file.display().to_string();
    printer.result(&json!({ "file": output, "bytes": made.len() }), || output)
}

fn show(printer: &Printer, component: &Path) -> Result<(), Failure> {
    let bytes = super::component(printer, component)?;
    let checked = daemon::check_component(&bytes, &Grants::all(), false);
    let checked = checked.map_err(super::check::refused)?;
    let Some(manifest) = &checked.inspection.manifest else {
        return Err(Failure::Untrue {
            what: format!("`{}` has no manifest", component.display()),
            remedy: Some("add one with `mica driver manifest add`".to_owned()),
        });
    };
    let view = ManifestView::from(manifest);
    printer.result(&json!(view), || render(&view))
}

/// The component with the manifest of a file in it.
fn with(
    component: &[u8],
    shown: &impl std::fmt::Display,
    manifest: &Path,
) -> Result<Vec<u8>, Failure> {
    let told = |what: String| Failure::Untrue {
        what: words::safe(&what),
        remedy: Some("`mica driver manifest --help` shows how one is written".to_owned()),
    };
    let text = text_of(manifest)?;
    let parsed: Manifest = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text.bytes()
                .take(span.start)
                .filter(|byte| *byte == b'\n')
                .count()
                + 1
        });
        let (manifest, reason) = (manifest.display(), error.message());
        told(format!("manifest `{manifest}`, line {line}: {reason}"))
    })?;
    manifest::add(component, &parsed)
        .map_err(|error| told(format!("put a manifest into `{shown}`: {error}")))
}

/// A manifest's text, which is not long.
fn text_of(path: &Path) -> Result<String, Failure> {
    let doing = || format!("read the manifest `{}`", path.display());
    let file = std::fs::File::open(path).map_err(Failure::io(doing()))?;
    let mut text = String::new();
    let most = MANIFEST_BYTES as u64;
    let read = file.take(most + 1).read_to_string(&mut text);
    read.map_err(Failure::io(doing()))?;
    match text.len() <= MANIFEST_BYTES {
        true => Ok(text),
        false => Err(Failure::Untrue {
            what: format!("manifest `{}` has more than {most} bytes", path.display()),
            remedy: None,
        }),
    }
}

/// A component that has no manifest, with the one that lies beside it, if one does.
pub(super) fn with_beside(
    printer: &Printer,
    component: Vec<u8>,
    path: &Path,
) -> Result<Vec<u8>, Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(BESIDE);
    let beside = PathBuf::from(beside);
    if !beside.is_file() || manifest::has(&component) {
        return Ok(component);
    }
    let made = with(&component, &path.display(), &beside)?;
    printer.note(&format!("with the manifest `{}`", beside.display()));
    Ok(made)
}

/// A manifest as people read it.
pub(super) fn render(view: &ManifestView) -> String {
    let state = view.writes.map(|writes| {
        let reads: Vec<String> = view.reads.iter().map(ToString::to_string).collect();
        format!("writes {writes}, reads {}", reads.join(", "))
    });
    let mut text = pairs([
        ("name", words::told(&view.name)),
        ("version", words::told(&view.version)),
        ("licence", words::told(&view.licence)),
        ("home page", words::told(&view.homepage)),
        ("contract", words::told(&view.contract)),
        ("state", words::told(&state)),
        ("mounts", words::told(&view.mounts)),
        ("xattrs", words::told(&view.xattrs)),
        ("device nodes", words::told(&view.device_nodes)),
    ]);
    if !view.capabilities.0.is_empty() {
        let rows = view.capabilities.0.iter();
        let rows = rows.map(|(name, reason)| vec![words::safe(name), words::safe(reason)]);
        let columns = [Column::Text("asks for"), Column::Text("reason")];
        text.push_str(&format!("\n{}", table(&columns, rows.collect())));
    }
    if !view.limits.is_empty() {
        let rows = view.limits.iter();
        let rows = rows.map(|(name, number)| vec![words::safe(name), number.to_string()]);
        let columns = [Column::Text("limit"), Column::Number("is enough")];
        text.push_str(&format!("\n{}", table(&columns, rows.collect())));
    }
    text
}
