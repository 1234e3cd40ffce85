//! `mica layer import`: the layers of an image archive.
//!
//! A layer gets its chain id as its id: the digest of all archives up to its own. So images that begin alike share layers, and a layer
//! that is there is the right one: an archive is applied whole or not at all. Only one that has nothing may have been left by a command
//! that was killed between making a layer and applying its archive; it gets its archive now.
//!
//! Invariant: a layer holds an archive of the digest that the image names. What is made by a command that fails is removed again.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use mica_archives::{Image, ImageFile, Layer, Platform, Wanted, chain_id};
use serde::Serialize;
use serde_json::json;

use super::archive::refused;
use super::chain::{self, Made};
use crate::api::types::{LayerKind, SizeView};
use crate::children::inflater;
use crate::cli::context::Context;
use mica_client::progress::{Watched, bytes_bar};
use mica_client::{Failure, words};

pub(super) const EXAMPLES: &str = "\
FILE is a tar archive with an OCI image layout or of `docker save`, plain or gzip, or a directory with an OCI layout; `-` is standard
input. Layers may be plain, gzip or zstd. Digests are checked. A layer's id is its chain id, so images share what they have in common.

Examples:
  docker save alpine | mica layer import -
  mica layer import image.tar --as base
  skopeo copy docker-archive:a.tar oci:dir && mica layer import dir --image example/a:1.0";

/// The largest window of zstd, as the daemon's default.
const ZSTD_WINDOW_BYTES: u64 = 128 << 20;

/// Arguments of `mica layer import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// The archive
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The image, where the archive has more than one
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// For what machine, where the archive has the image for more than one; this one by default
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<Platform>,
    /// The id of the topmost layer, instead of its chain id
    #[arg(long = "as", value_name = "ID")]
    new_id: Option<String>,
}

/// What became of a layer.
#[derive(Serialize)]
struct Imported {
    id: String,
    diff_id: String,
    was_there: bool,
}

/// Imports the layers of an image, the lowest first, and prints the id of the topmost.
pub(super) fn import(context: &Context, arguments: &ImportArguments) -> Result<(), Failure> {
    let context = &context.heeding()?;
    let image = open(arguments)?;
    let Image {
        names,
        id: image_id,
        platform,
        layers,
    } = image;
    if layers.is_empty() {
        return Err(Failure::Archive {
            what: "the image has no layers".to_owned(),
            remedy: None,
        });
    }
    let mut made = Made::none(context, &context.store);
    let (mut chain_below, mut below) = (None, None);
    let mut imported = Vec::new();
    let last = layers.len() - 1;
    for (index, layer) in layers.into_iter().enumerate() {
        let chain = chain_id(chain_below.as_ref(), &layer.diff_id);
        let given = arguments.new_id.clone().filter(|_| index == last);
        let diff_id = layer.diff_id.to_string();
        let parent = below.as_deref();
        let (id, was_there) = match given {
            // Whatever else has that id is not this layer.
            Some(id) => {
                made.create(&id, parent, LayerKind::Content)?;
                fill(context, layer, &id)?;
                (id, false)
            }
            None => {
                let id = chain.to_string();
                let was_there = shared(context, layer, &id, parent, &mut made)?;
                (id, was_there)
            }
        };
        below = Some(id.clone());
        chain_below = Some(chain);
        imported.push(Imported {
            id,
            diff_id,
            was_there,
        });
    }
    made.keep();
    let document = json!({
        "id": below,
        "image": { "id": image_id, "names": names, "platform": platform.to_string() },
        "layers": imported,
    });
    note_shared(context, &imported);
    context
        .printer
        .result(&document, || words::safe(&below.unwrap_or_default()))
}

fn note_shared(context: &Context, imported: &[Imported]) {
    let there = imported.iter().filter(|one| one.was_there).count();
    if there > 0 {
        let all = imported.len();
        let text = format!("{there} of {all} layers were there");
        context.printer.note(&text);
    }
}

/// The image that is meant.
fn open(arguments: &ImportArguments) -> Result<Image, Failure> {
    let file = match arguments.file.as_path() {
        file if file != Path::new("-") => ImageFile::open(file),
        _ if io::stdin().is_terminal() => {
            return Err(Failure::Usage {
                what: "a terminal is no archive".to_owned(),
                remedy: "name a file, or send the archive through a pipe",
            });
        }
        _ => ImageFile::read(io::stdin().lock()),
    };
    let wanted = Wanted {
        name: arguments.image.clone(),
        platform: arguments.platform.clone(),
    };
    file.and_then(|file| file.image(&wanted)).map_err(refused)
}

/// Imports a layer under its chain id, unless it is there; says whether it was.
fn shared(
    context: &Context,
    layer: Layer,
    id: &str,
    parent: Option<&str>,
    made: &mut Made<'_>,
) -> Result<bool, Failure> {
    match chain::find(context, &context.store, id)? {
        // What something is built on was filled before.
        Some(there) if there.parent.as_deref() == parent && there.children > 0 => return Ok(true),
        Some(there) if there.parent.as_deref() == parent => {
            let empty = chain::target(&context.store, id, "/size");
            let size = context.client.get(&empty)?;
            let size: Option<SizeView> = mica_client::read(&size);
            let changes = chain::target(&context.store, id, "/changes");
            let has_bytes = size.is_none_or(|size| size.size_bytes > 0);
            if has_bytes || !words::list(&context.client.get(&changes)?, "changes").is_empty() {
                return Ok(true);
            }
        }
        Some(there) => {
            let parent = |id: Option<&str>| words::safe(id.unwrap_or("-"));
            return Err(Failure::Untrue {
                what: format!(
                    "layer `{}` is there and lies on `{}`",
                    words::safe(id),
                    parent(there.parent.as_deref())
                ),
                remedy: Some("name another id by `--as`, or import into another store".to_owned()),
            });
        }
        None => made.create(id, parent, LayerKind::Content)?,
    }
    fill(context, layer, id).map(|()| false)
}

/// Gives a layer its archive.
fn fill(context: &Context, layer: Layer, id: &str) -> Result<(), Failure> {
    let bar = bytes_bar(format!("import {id}"), None);
    let unzstd = |packed| mica_zstd::Reader::new(packed, ZSTD_WINDOW_BYTES, inflater());
    let archive = layer.open(unzstd).map_err(refused)?;
    let target = chain::target(&context.store, id, "/diff");
    let applied = context
        .client
        .put_stream(&target, Watched::new(archive, &bar));
    bar.finish_and_clear();
    match applied {
        // What the reader says of the archive is the archive's fault.
        Err(Failure::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::Archive {
                what: source.to_string(),
                remedy: Some("get the archive again".to_owned()),
            })
        }
        applied => applied.map(drop),
    }
}
