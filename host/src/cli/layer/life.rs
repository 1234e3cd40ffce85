//! Layers come and go.
//!
//! Invariant: removing several layers stops at none of them; all failures are told.

use serde_json::json;

use super::{CreateArguments, layers_target, target};
use crate::api::types::{LayerKind, LayerRequest, LayerView};
use crate::cli::context::Context;
use crate::cli::store::options;
use mica_client::{Failure, Output, words};

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
    let document = context
        .client
        .post(&layers_target(context), Some(&json!(request)))?;
    context
        .printer
        .view(&document, |layer: &LayerView| words::told(&layer.id))
}

/// Removes layers, one after another, and prints the id of each that is gone.
///
/// # Errors
/// The first failure; the others are told as they happen.
pub(super) fn remove(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let mut first = None;
    for id in ids {
        match context.client.delete(&target(context, id, "")) {
            Ok(()) => context
                .printer
                .result(&json!({ "removed": id }), || id.clone())?,
            Err(failure) if first.is_none() => first = Some(failure),
            Err(failure) => failure.tell(if context.printer.is_json() {
                Output::Json
            } else {
                Output::Table
            }),
        }
    }
    first.map_or(Ok(()), Err)
}
