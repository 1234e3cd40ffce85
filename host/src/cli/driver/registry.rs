//! `mica driver push`, `pull` and `install`.
//!
//! Invariant: what is written or loaded is what the digest says that is told.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::json;

use super::read;
use super::source::{
    PaperArguments, RegistryArguments, Source, beside, ending, moves, refused, signature,
};
use crate::daemon::{Checked, check_component};
use mica_client::progress::bytes_bar;
use mica_client::{Failure, Printer, pairs, words};
use mica_engine::Moment;
use mica_registry::{Facts, Offer, Reference};
use mica_runtime::{Grants, World};

pub(super) const PUSH_EXAMPLES: &str = "\
The component goes to the registry in the layout that wkg and oras know, under a tag. Its signatures go along: those of
--signature, or FILE.minisig and FILE.sigstore.json. A registry on this machine is asked without TLS, all others with it.

Examples:
  mica driver push hello.wasm oci://registry.example/team/hello:1.0
  minisign -S -m hello.wasm && mica driver push hello.wasm registry.example/team/hello:1.0";

pub(super) const PULL_EXAMPLES: &str = "\
Everything that comes is compared with its digest. A reference without a digest is resolved, and the digest is told: with it
the same is pulled again, whatever the tag means then. Signatures are written beside the component, and not verified:
the daemon does that when it loads the component.

Examples:
  mica driver pull registry.example/team/hello:1.0
  mica driver pull registry.example/team/hello@sha256:DIGITS -o hello.wasm";

/// Arguments of `mica driver push`.
#[derive(Debug, clap::Args)]
pub(crate) struct PushArguments {
    /// The component
    file: PathBuf,
    /// Where it goes: HOST/NAME:TAG, with or without oci://
    reference: String,
    /// A signature that goes along, of minisign or a bundle of sigstore; may be given more than once
    #[arg(long, value_name = "FILE")]
    signature: Vec<PathBuf>,
    /// Who made it
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    access: RegistryArguments,
}

/// Arguments of `mica driver pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct PullArguments {
    /// What is pulled: HOST/NAME:TAG, HOST/NAME@DIGEST or both, with or without oci://
    reference: String,
    /// Where the component goes; without it a file with the last part of the name, here
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    access: RegistryArguments,
}

/// Pushes a component.
pub(super) fn push(printer: &Printer, arguments: PushArguments) -> Result<(), Failure> {
    let PushArguments {
        file,
        reference,
        signature: named,
        author,
        access,
    } = arguments;
    let reference = Reference::parse(&reference).map_err(refused)?;
    let component = read(&file)?;
    let checked = check_component(&component, &Grants::all(), false);
    let checked = checked.map_err(super::check::refused)?;
    let signatures = match named.is_empty() {
        true => beside(&file)?,
        false => named
            .iter()
            .map(|path| signature(path))
            .collect::<Result<_, _>>()?,
    };
    let offer = Offer {
        component: component.into(),
        title: file
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        facts: facts(&checked),
        created: made(&file),
        author,
        signatures,
    };
    let signature_count = offer.signatures.len();
    let bar = bytes_bar(format!("push {reference}"), None);
    let pushed = access
        .registry(&reference)?
        .watched(moves(&bar))
        .push(offer);
    bar.finish_and_clear();
    let pushed = pushed.map_err(refused)?;
    let document = json!({
        "reference": pushed.reference.to_string(),
        "manifest": pushed.manifest.as_str(),
        "digest": pushed.component.as_str(),
        "signatures": signature_count,
    });
    printer.result(&document, || {
        pairs([
            ("reference", pushed.reference.to_string()),
            ("component", pushed.component.to_string()),
            ("signatures", signature_count.to_string()),
        ])
    })
}

/// What the layout tells of a component.
fn facts(checked: &Checked) -> Facts {
    let inspection = &checked.inspection;
    let contract = inspection.contract.as_str();
    let version = contract.split_once('@').map_or("", |(_, version)| version);
    let named = |name: &str| format!("mica:driver/{name}@{version}");
    let (world, more) = match inspection.world {
        World::Proto => ("proto", None),
        World::Full => ("full", Some(named("diff-driver"))),
    };
    Facts {
        exports: [contract.to_owned()].into_iter().chain(more).collect(),
        imports: inspection
            .imports
            .iter()
            .map(|import| import.name.to_string())
            .collect(),
        target: Some(named(world)),
    }
}

/// When a file was written: so what is pushed again has the same digest.
fn made(file: &Path) -> String {
    let written = std::fs::metadata(file)
        .and_then(|file| file.modified())
        .ok();
    let passed = written.and_then(|written| written.duration_since(UNIX_EPOCH).ok());
    let moment = Moment {
        seconds: passed.unwrap_or_default().as_secs(),
        nanoseconds: 0,
    };
    words::seconds(&moment)
}

/// Pulls a component into a file.
pub(super) fn pull(printer: &Printer, arguments: PullArguments) -> Result<(), Failure> {
    let PullArguments {
        reference,
        file,
        access,
    } = arguments;
    let reference = Reference::parse(&reference).map_err(refused)?;
    let delivery =
        Source::Reference(reference.clone()).fetch(printer, &access, &PaperArguments::default())?;
    let file = file.unwrap_or_else(|| {
        let name = reference.repository.rsplit('/').next().unwrap_or_default();
        PathBuf::from(format!("{name}.wasm"))
    });
    let mut signatures = Vec::new();
    for signature in &delivery.signatures {
        let path = ending(&file, signature.kind());
        // The first of a kind is what belongs to the manifest; all go along when the driver is installed from the registry.
        if !signatures.contains(&path) {
            super::write(&path, signature.bytes())?;
            signatures.push(path);
        }
    }
    super::write(&file, &delivery.component)?;
    let pinned = delivery
        .reference
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let digest = mica_registry::Digest::of(&delivery.component);
    let signatures: Vec<_> = signatures
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let document = json!({
        "reference": pinned,
        "digest": digest.as_str(),
        "file": file.display().to_string(),
        "bytes": delivery.component.len(),
        "signatures": signatures,
    });
    printer.result(&document, || {
        pairs([
            ("reference", pinned.clone()),
            ("component", digest.to_string()),
            ("file", file.display().to_string()),
            ("size", words::bytes(delivery.component.len() as u64)),
            ("signatures", words::told(&signatures)),
        ])
    })
}
