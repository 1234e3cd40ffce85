//! Layers come and go.
//!
//! Invariant: removing several layers stops at none of them; all failures are told.

use std::collections::BTreeSet;

use serde_json::json;

use super::{CreateArguments, layers_target, list, target};
use crate::api::types::{LayerKind, LayerRequest, LayerView};
use crate::cli::context::Context;
use crate::cli::store::options;
use crate::cli::waiting::{Sought, with_bar};
use mica_client::{Exit, Failure, words};

pub(super) const CREATE_EXAMPLES: &str = "\
Examples:
  mica layer create base
  mica layer create box --parent base --read-write
  mica --store scratch layer create tmp";

/// Makes a layer and prints its id.
pub(super) fn create(context: &Context, arguments: &CreateArguments) -> Result<(), Failure> {
    let kind = match arguments.read_write {
        true => LayerKind::ReadWrite,
        false => LayerKind::Content,
    };
    let request = LayerRequest {
        kind,
        mount_label: arguments.mount_label.clone(),
        storage_options: options(arguments.storage_options.clone())?,
        ..LayerRequest::new(&arguments.id, arguments.parent.as_deref())
    };
    // A driver that copies takes as long as its parent is large.
    let sought = Sought {
        layer: None,
        ..Sought::layer("create_layer", context, &arguments.id)
    };
    let document = with_bar(
        context,
        &format!("create {}", arguments.id),
        &sought,
        || {
            context
                .client
                .post(&layers_target(context), Some(&json!(request)))
        },
    )?;
    context
        .printer
        .view(&document, |layer: &LayerView| words::told(&layer.id))
}

pub(super) const REMOVE_EXAMPLES: &str = "\
Examples:
  mica layer rm box
  mica layer rm base --recursive --dry-run     tell what would go with it
  mica layer rm base --recursive";

/// Arguments of `mica layer rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArguments {
    /// The layers
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// With all layers that are built on them, the topmost first
    #[arg(short, long)]
    recursive: bool,
    /// Tell what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Removes layers, one after another, and prints the id of each that is gone.
///
/// # Errors
/// The first failure; the others are told as they happen.
pub(super) fn remove(context: &Context, arguments: &RemoveArguments) -> Result<(), Failure> {
    let RemoveArguments {
        ids,
        recursive,
        dry_run,
    } = arguments;
    if !recursive && !dry_run {
        return remove_all(context, ids);
    }
    let all = list::layers(context)?;
    if let Some(missing) = ids.iter().find(|id| all.iter().all(|one| one.id != **id)) {
        return Err(Failure::Told {
            what: format!("there is no layer `{missing}` in store `{}`", context.store),
            remedy: Some("list layers with `mica layer ls`".to_owned()),
            exit: Exit::NotFound,
            code: Some("unknown-layer"),
        });
    }
    let doomed = match recursive {
        true => with_children(all, ids),
        false => {
            let mut doomed = all;
            doomed.retain(|layer| ids.contains(&layer.id));
            check_children(&doomed, ids)?;
            doomed.sort_by_key(|layer| ids.iter().position(|id| *id == layer.id));
            doomed
        }
    };
    // Before anything is removed: a chain that is half gone helps nobody.
    if let Some(layer) = doomed.iter().find(|layer| layer.mounts > 0) {
        return Err(Failure::Told {
            what: format!("layer `{}` is mounted", layer.id),
            remedy: Some(format!(
                "give the mount back: `mica layer umount {}`",
                layer.id
            )),
            exit: Exit::Conflict,
            code: Some("mounted"),
        });
    }
    let ids: Vec<String> = doomed.into_iter().map(|layer| layer.id).collect();
    if !dry_run {
        return remove_all(context, &ids);
    }
    context
        .printer
        .result(&json!({ "would_remove": ids }), || ids.join("\n"))
}

/// Those that are named, with all that are built on them, the topmost first.
fn with_children(mut all: Vec<LayerView>, ids: &[String]) -> Vec<LayerView> {
    // Parents come before their children.
    all.sort_by_key(|layer| layer.depth);
    let mut doomed: BTreeSet<String> = ids.iter().cloned().collect();
    for layer in &all {
        let parent = layer.parent.as_ref();
        if parent.is_some_and(|parent| doomed.contains(parent)) {
            doomed.insert(layer.id.clone());
        }
    }
    all.retain(|layer| doomed.contains(&layer.id));
    all.reverse();
    all
}

/// Refuses a layer that would still have children when its turn comes.
fn check_children(doomed: &[LayerView], ids: &[String]) -> Result<(), Failure> {
    for layer in doomed {
        let own = ids.iter().position(|id| *id == layer.id);
        let gone = doomed.iter().filter(|child| {
            let position = ids.iter().position(|id| *id == child.id);
            child.parent.as_ref() == Some(&layer.id) && position < own
        });
        if (gone.count() as u64) < layer.children {
            return Err(Failure::Told {
                what: format!("layer `{}` has children", layer.id),
                remedy: Some("remove them first, or with it: `--recursive`".to_owned()),
                exit: Exit::Conflict,
                code: Some("has-children"),
            });
        }
    }
    Ok(())
}

fn remove_all(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let mut first = None;
    for id in ids {
        match context.client.delete(&target(context, id, "")) {
            Ok(_) => context
                .printer
                .result(&json!({ "removed": id }), || id.clone())?,
            Err(failure) if first.is_none() => first = Some(failure),
            Err(failure) => failure.tell(context.printer.output()),
        }
    }
    first.map_or(Ok(()), Err)
}
