//! `mica driver componentize`.
//!
//! Compilers that know nothing of components make core modules. What turns one into a component is the interface that it was made for,
//! which generated bindings bring along or a WIT directory has, and, where it calls WASI's first preview, an adapter.
//!
//! Invariant: the component is complete, or nothing is there that was not there before.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::json;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata, metadata};
use wit_parser::Resolve;

use mica_client::{Failure, Printer};
use mica_text::with_causes;

pub(super) const EXAMPLES: &str = "\
What a module was made for is known from its bindings (those of `wit-bindgen c` link it in), or from a directory of WIT files.
A module that calls WASI's first preview gets what translates that. Nothing is asked of a daemon.

Examples:
  mica driver componentize core.wasm -o my-driver.wasm
  mica driver componentize core.wasm -o my-driver.wasm --wit wit --world proto";

/// The first bytes of a module and of a component: `\\0asm`, a version, and what it is.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Arguments of `mica driver componentize`.
#[derive(Debug, clap::Args)]
pub(crate) struct ComponentizeArguments {
    /// The core module
    module: PathBuf,
    /// Where the component goes; a file that is there is replaced
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// The directory of the WIT files that the module was made for, if it does not say so itself
    #[arg(long, value_name = "DIR", requires = "world")]
    wit: Option<PathBuf>,
    /// The world in it
    #[arg(long, value_name = "WORLD", requires = "wit")]
    world: Option<String>,
}

/// Makes the component.
pub(super) fn run(printer: &Printer, arguments: &ComponentizeArguments) -> Result<(), Failure> {
    let shown = arguments.module.display().to_string();
    let mut module = super::read(&arguments.module)?;
    if module.starts_with(COMPONENT) {
        let what = format!("`{shown}` is a component already");
        return Err(untrue(what, "use it as it is"));
    }
    if !module.starts_with(MODULE) {
        let what = format!("`{shown}` is no WebAssembly module");
        return Err(untrue(
            what,
            "name what the compiler made for a wasm32 target",
        ));
    }
    if let (Some(wit), Some(world)) = (&arguments.wit, &arguments.world) {
        embed(&mut module, wit, world)?;
    }
    let component = encode(&module, &shown)?;
    super::write(&arguments.file, &component)?;
    let output = arguments.file.display().to_string();
    let document = json!({ "file": output, "bytes": component.len() });
    printer.result(&document, || output)
}

/// Notes in the module which world of which WIT files it was made for.
fn embed(module: &mut Vec<u8>, wit: &Path, world: &str) -> Result<(), Failure> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).map_err(|error| {
        let what = format!(
            "`{}` cannot be read as WIT: {}",
            wit.display(),
            with_causes(&*error)
        );
        untrue(
            what,
            "name a directory with the contract, as `mica driver new` writes one",
        )
    })?;
    let found = resolve.select_world(&[package], Some(world));
    let found = found.map_err(|error| {
        let what = format!(
            "no world `{world}` in `{}`: {}",
            wit.display(),
            with_causes(&*error)
        );
        untrue(what, "the contract's worlds are `proto` and `full`")
    })?;
    embed_component_metadata(module, &resolve, found, StringEncoding::UTF8).map_err(|error| {
        untrue(
            format!("note the world `{world}`: {}", with_causes(&*error)),
            "rebuild the module",
        )
    })
}

fn encode(module: &[u8], shown: &str) -> Result<Vec<u8>, Failure> {
    let damaged = |error: &dyn Error| {
        let what = format!(
            "`{shown}` cannot become a component: {}",
            with_causes(error)
        );
        untrue(
            what,
            "the exports and imports must be those of the bindings for its world",
        )
    };
    if metadata::decode(module)
        .map_err(|error| damaged(&*error))?
        .0
        .is_none()
    {
        let what = format!("`{shown}` does not say which world it was made for");
        let remedy =
            "link the object that `wit-bindgen c` makes, or name the files with --wit and --world";
        return Err(untrue(what, remedy));
    }
    let encoder = ComponentEncoder::default().validate(true).module(module);
    let adapter = encoder.and_then(|encoder| {
        encoder.adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )
    });
    adapter
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| damaged(&*error))
}

fn untrue(what: String, remedy: &str) -> Failure {
    Failure::Untrue {
        what,
        remedy: Some(remedy.to_owned()),
    }
}
