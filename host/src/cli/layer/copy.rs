//! `mica layer copy`: a layer with all below it, from one store to another, whatever their drivers.
//!
//! Invariant: a copy is compared with its original, all of it, before the command has worked; a layer that differs does not stay.

use mica_archives::Tree;
use serde::Serialize;
use serde_json::json;

use super::chain::{self, Made};
use super::relay::{Relay, Source, relay};
use crate::api::types::LayerView;
use crate::cli::context::Context;
use mica_client::progress::{ProgressBar, Watched, bytes_bar};
use mica_client::{Failure, words};

pub(super) const EXAMPLES: &str = "\
Layers that the other store has under the same ids are compared and taken for copied. Nothing is removed from this store. What is made
by a command that fails is removed again.

Options of a layer (`--storage-opt`, `--mount-label`) are its own store's and are not copied.

Examples:
  mica layer copy base --to images
  mica store create new --driver erofs && mica layer copy box --to new     from one driver to another
  mica layer copy base --to default --as base-2                            in one store";

/// How many differences are told.
const MOST_DIFFERENCES: usize = 10;

/// Arguments of `mica layer copy`.
#[derive(Debug, clap::Args)]
pub(crate) struct CopyArguments {
    /// The layer
    id: String,
    /// The store to copy to
    #[arg(long, value_name = "STORE")]
    to: String,
    /// The copy's id; those below keep theirs
    #[arg(long = "as", value_name = "ID")]
    new_id: Option<String>,
    /// Do not compare what is copied with its original; what is there already is compared all the same
    #[arg(long)]
    no_verify: bool,
}

/// What became of a layer.
#[derive(Serialize)]
struct Copied {
    id: String,
    from: String,
    was_there: bool,
    /// Names that were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<usize>,
}

/// Copies a chain, the lowest layer first.
pub(super) fn copy(context: &Context, arguments: &CopyArguments) -> Result<(), Failure> {
    let context = &context.heeding()?;
    let CopyArguments {
        id, to, no_verify, ..
    } = arguments;
    let from = context.store.as_str();
    let mut originals = chain::chain(context, from, id)?;
    let new_id = arguments.new_id.as_ref().unwrap_or(id);
    if from == to {
        if new_id == id {
            return Err(Failure::Usage {
                what: format!("layer `{id}` is in store `{to}` already"),
                remedy: "name another store by `--to`, or another id by `--as`",
            });
        }
        // The layers below are there, and stay shared.
        originals.drain(..originals.len().saturating_sub(1));
    }
    let mut made = Made::none(context, to);
    let mut below = originals.first().and_then(|lowest| lowest.parent.clone());
    let mut copies = Vec::new();
    for original in &originals {
        let copy_id = if original.id == *id {
            new_id
        } else {
            &original.id
        };
        let was_there = one(
            context,
            original,
            to,
            (copy_id, below.as_deref()),
            &mut made,
        )?;
        // One that was there may be what a killed command left.
        let verified = match *no_verify && !was_there {
            true => None,
            false => Some(verify(context, (from, &original.id), (to, copy_id))?),
        };
        copies.push(Copied {
            id: copy_id.clone(),
            from: original.id.clone(),
            was_there,
            verified,
        });
        below = Some(copy_id.clone());
    }
    made.keep();
    let document = json!({ "store": to, "layers": copies });
    context
        .printer
        .result(&document, || copies.iter().map(line).collect())
}

fn line(copied: &Copied) -> String {
    let what = match copied.was_there {
        true => "was there",
        false => "copied",
    };
    let verified = copied.verified;
    let verified = verified.map(|count| format!(", {count} files compared"));
    let (id, verified) = (words::safe(&copied.id), verified.unwrap_or_default());
    format!("{id}  {what}{verified}\n")
}

/// Copies one layer, unless it is there; says whether it was.
fn one(
    context: &Context,
    original: &LayerView,
    to: &str,
    (id, parent): (&str, Option<&str>),
    made: &mut Made<'_>,
) -> Result<bool, Failure> {
    if let Some(there) = chain::find(context, to, id)? {
        if there.parent.as_deref() == parent && id == original.id {
            return Ok(true);
        }
        return Err(Failure::Untrue {
            what: format!(
                "store `{to}` has another layer `{id}`: it lies on `{}`, not on `{}`",
                there.parent.as_deref().unwrap_or("-"),
                parent.unwrap_or("-")
            ),
            remedy: Some("copy under another id (`--as`), or to another store".to_owned()),
        });
    }
    made.create(id, parent, original.kind)?;
    let source = chain::target(&original.store, &original.id, "/diff");
    let (archive, taken) = relay(&context.client, source)?;
    let bar = bytes_bar(format!("copy {}", original.id), None);
    let target = chain::target(to, id, "/diff");
    let sent = context
        .client
        .put_stream(&target, Watched::new(archive, &bar));
    bar.finish_and_clear();
    taken.join(sent)?;
    Ok(false)
}

/// Compares the whole trees of two layers, and says how many names they have.
fn verify(
    context: &Context,
    (store, original): (&str, &str),
    (to, copy): (&str, &str),
) -> Result<usize, Failure> {
    let bar = bytes_bar(format!("compare {copy}"), None);
    let whole = |store, id| relay(&context.client, chain::target(store, id, "/diff?parent="));
    let (one, other) = (whole(store, original)?, whole(to, copy)?);
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| tree(other, &ProgressBar::hidden()));
        let broke = |_panic| {
            Err(Failure::Untrue {
                what: "the thread that compares broke".to_owned(),
                remedy: None,
            })
        };
        (tree(one, &bar), other.join().unwrap_or_else(broke))
    });
    let (one, two) = (one?, two?);
    let mut differences = one.differences(&two, usize::MAX);
    if !differences.is_empty() {
        let archives = chain::chain(context, store, original)?;
        let archives = archives.iter().map(|layer| {
            let own = chain::target(store, &layer.id, "/diff");
            tree(relay(&context.client, own)?, &bar)
        });
        let archives: Vec<Tree> = archives.collect::<Result<_, _>>()?;
        differences.retain(|one| !one.is_undetermined(&archives));
    }
    bar.finish_and_clear();
    if differences.is_empty() {
        return Ok(one.len());
    }
    let mut what = format!(
        "layer `{copy}` of store `{to}` is not the same as `{original}` of store `{store}`"
    );
    for difference in differences.iter().take(MOST_DIFFERENCES) {
        what.push_str(&format!("\n  {difference}"));
    }
    if differences.len() > MOST_DIFFERENCES {
        what.push_str("\n  …");
    }
    Err(Failure::Untrue {
        what,
        remedy: Some(format!(
            "if `{original}` is mounted and written to, try again; if `{copy}` was there before, copy to another id or store"
        )),
    })
}

/// The tree that an archive holds, which comes from a daemon.
fn tree((archive, taken): (Relay, Source), bar: &ProgressBar) -> Result<Tree, Failure> {
    let read = Tree::read(Watched::new(archive, bar));
    taken.join(read.map_err(super::archive::refused))
}
