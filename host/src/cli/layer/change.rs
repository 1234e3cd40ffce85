//! What is different, in words and in bytes.
//!
//! Invariant: one change a line, a letter and a path, as the original prints it; a line break in a path does not make
//! a second line.

use super::CompareArguments;
use crate::api::types::{ChangeKind, ChangeList, SizeView};
use crate::cli::context::Context;
use crate::cli::waiting::{Sought, with_bar};
use mica_client::{Failure, read, words};
use mica_text::bytes_of;

/// Lists the changes.
pub(super) fn changes(
    context: &Context,
    arguments: &super::ChangesArguments,
) -> Result<(), Failure> {
    let target = arguments.compare.target(context, "changes");
    let sought = Sought::layer("list_layer_changes", context, &arguments.compare.id);
    let document = with_bar(context, "compare", &sought, || context.client.get(&target))?;
    if arguments.is_null {
        let list: Option<ChangeList> = read(&document);
        let list = list.ok_or_else(|| Failure::Connection {
            doing: "understand the daemon's list of changes".to_owned(),
            source: "it has another form than this program knows".into(),
        })?;
        let changes = list.changes.iter().flat_map(|change| {
            let letter = match change.kind {
                ChangeKind::Add => b'A',
                ChangeKind::Modify => b'C',
                ChangeKind::Delete => b'D',
            };
            let path = bytes_of(&change.path, change.path_base64.as_deref());
            [vec![letter, b' '], path, vec![0]].concat()
        });
        return context.printer.bytes(&changes.collect::<Vec<_>>());
    }
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
    let target = arguments.target(context, "size");
    let sought = Sought::layer("get_layer_diff_size", context, &arguments.id);
    let document = with_bar(context, "compare", &sought, || context.client.get(&target))?;
    let text = |size: &SizeView| size.size_bytes.to_string();
    context.printer.view(&document, text)
}
