//! `mica layer export`: a layer with all below it as an image archive.
//!
//! Invariant: an output file is complete or not there.

use std::fs;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use mica_archives::{ImageName, Packed, Writer, Written};
use serde_json::{Map, Value, json};

use super::archive::refused;
use super::chain;
use crate::cli::context::Context;
use mica_client::progress::{ProgressBar, Watched, bytes_bar};
use mica_client::{Failure, NewFile, words};

pub(super) const EXAMPLES: &str = "\
The archive is an OCI image layout and what `docker save` writes, in one: `docker load`, `ctr images import`, `podman load` and skopeo
(`oci-archive:`, `docker-archive:`) take it. Layers are told as `mica layer diff` tells them; the same layers give the same bytes.

Examples:
  mica layer export base -o base.tar --name example/base:1.0
  mica layer export base --gzip --name base | docker load
  mica layer export app -o app.tar --config config.json     config.json: {\"config\": {\"Cmd\": [\"/bin/app\"]}}";

/// Bytes that are gathered before a write.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes that a config may have.
const MOST_CONFIG_BYTES: usize = 4 << 20;

/// Arguments of `mica layer export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArguments {
    /// The layer
    id: String,
    /// Write to this file, not to standard output
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The image's name, with its tag
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<ImageName>,
    /// What the image's config shall have beside its layers: a file of JSON as the OCI image specification has it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Compress the layers
    #[arg(long)]
    gzip: bool,
}

/// Writes the archive.
pub(super) fn export(context: &Context, arguments: &ExportArguments) -> Result<(), Failure> {
    let context = &context.heeding()?;
    let config = arguments.config.as_deref().map(config).transpose()?;
    let config = config.unwrap_or_default();
    match &arguments.file {
        Some(file) if file != Path::new("-") => to_file(context, arguments, config, file),
        _ if io::stdout().is_terminal() => Err(Failure::Usage {
            what: "an archive is not for a terminal".to_owned(),
            remedy: "name a file with `-o FILE`, or send it through a pipe",
        }),
        _ => write(context, arguments, config, io::stdout().lock()).map(drop),
    }
}

fn to_file(
    context: &Context,
    arguments: &ExportArguments,
    config: Map<String, Value>,
    file: &Path,
) -> Result<(), Failure> {
    let doing = || format!("write `{}`", file.display());
    let new = NewFile::create(file).map_err(Failure::io(doing()))?;
    let written = write(context, arguments, config, new.file())?;
    let bytes = new.file().metadata().map_err(Failure::io(doing()))?.len();
    new.complete(file).map_err(Failure::io(doing()))?;
    let shown = file.display().to_string();
    let name = arguments.name.as_ref().map(ImageName::whole);
    let document = json!({ "file": shown, "bytes": bytes, "name": name, "image": written });
    context.printer.result(&document, || {
        let count = written.diff_ids.len();
        let plural = if count == 1 { "layer" } else { "layers" };
        let bytes = words::bytes(bytes);
        format!("{shown}  {count} {plural}, {bytes}\nimage  {}", written.id)
    })
}

fn write(
    context: &Context,
    arguments: &ExportArguments,
    config: Map<String, Value>,
    to: impl Write,
) -> Result<Written, Failure> {
    let layers = chain::chain(context, &context.store, &arguments.id)?;
    let packed = match arguments.gzip {
        true => Packed::Gzip,
        false => Packed::Not,
    };
    let to = BufWriter::with_capacity(BUFFER_BYTES, to);
    let mut writer = Writer::new(to, packed).map_err(refused)?;
    let bar = bytes_bar(format!("export {}", arguments.id), None);
    for layer in &layers {
        let target = chain::target(&context.store, &layer.id, "/diff");
        writer
            .layer(|sink| take(context, &target, sink, &bar).map_err(Stopped::Call))
            .map_err(Stopped::failure)?;
    }
    let (mut to, written) = writer
        .finish(arguments.name.as_ref(), config)
        .map_err(refused)?;
    to.flush().map_err(Failure::io("write the archive"))?;
    bar.finish_and_clear();
    Ok(written)
}

fn take(
    context: &Context,
    target: &str,
    sink: &mut dyn Write,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut watched = Watched::new(sink, bar);
    context.client.get_archive(target, &mut watched).map(drop)
}

/// Why a layer was not written.
enum Stopped {
    Call(Failure),
    Archive(mica_archives::Error),
}

impl From<mica_archives::Error> for Stopped {
    fn from(error: mica_archives::Error) -> Self {
        Self::Archive(error)
    }
}

impl Stopped {
    fn failure(self) -> Failure {
        match self {
            Self::Call(failure) => failure,
            Self::Archive(error) => refused(error),
        }
    }
}

fn config(file: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = file.display();
    let bytes = fs::read(file).map_err(Failure::io(format!("read `{shown}`")))?;
    let wrong = |what: String| Failure::Archive {
        what: format!("`{shown}` is no config of an image: {what}"),
        remedy: Some(
            "write an object of JSON such as {\"config\": {\"Cmd\": [\"/bin/sh\"]}}".to_owned(),
        ),
    };
    if bytes.len() > MOST_CONFIG_BYTES {
        return Err(wrong(format!("it has more than {MOST_CONFIG_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}
