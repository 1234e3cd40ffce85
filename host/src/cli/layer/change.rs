//! What is different, in words and in bytes.
//!
//! Invariant: one change a line, a letter and a path, as the original prints it; a line break in a path does not make
//! a second line.

use serde_json::Value;

use super::CompareArguments;
use crate::api::types::SizeView;
use crate::cli::failure::Failure;
use crate::cli::{Context, words};

/// Lists the changes.
pub(super) fn changes(context: &Context, arguments: &CompareArguments) -> Result<(), Failure> {
    let document = context.client.get(&arguments.target(context, "changes"))?;
    context.printer.result(&document, || {
        let changes = words::list(&document, "changes");
        changes
            .iter()
            .map(|change| format!("{}\n", line(change)))
            .collect()
    })
}

/// A letter and a path.
pub(crate) fn line(change: &Value) -> String {
    let letter = match change.get("kind").and_then(Value::as_str) {
        Some("add") => 'A',
        Some("modify") => 'C',
        Some("delete") => 'D',
        _ => '?',
    };
    format!("{letter} {}", words::field(change, "path"))
}

/// Tells the size of the difference.
pub(super) fn size(context: &Context, arguments: &CompareArguments) -> Result<(), Failure> {
    let document = context.client.get(&arguments.target(context, "size"))?;
    let text = |size: &SizeView| size.size_bytes.to_string();
    context.printer.view(&document, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_one_line() {
        assert_eq!(line(&json!({"path": "/a b", "kind": "modify"})), "C /a b");
        assert_eq!(
            line(&json!({"path": "/a\nD /etc\u{202e}", "kind": "add"})),
            r"A /a\nD /etc\u{202e}"
        );
    }
}
