//! What is different, in words and in bytes.
//!
//! Invariant: one change a line, a letter and a path, as the original prints it; a line break in a path does not make
//! a second line.

use super::CompareArguments;
use crate::api::types::SizeView;
use crate::cli::context::Context;
use mica_client::{Failure, words};

/// Lists the changes.
pub(super) fn changes(context: &Context, arguments: &CompareArguments) -> Result<(), Failure> {
    let document = context.client.get(&arguments.target(context, "changes"))?;
    context.printer.result(&document, || {
        let changes = words::list(&document, "changes");
        changes
            .iter()
            .map(|change| format!("{}\n", words::change(change)))
            .collect()
    })
}

/// Tells the size of the difference.
pub(super) fn size(context: &Context, arguments: &CompareArguments) -> Result<(), Failure> {
    let document = context.client.get(&arguments.target(context, "size"))?;
    let text = |size: &SizeView| size.size_bytes.to_string();
    context.printer.view(&document, text)
}
