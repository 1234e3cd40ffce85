//! `mica status`.
//!
//! Invariant: prints what the daemon says, whatever fields it has.

use std::time::Duration;

use serde_json::Value;

use super::context::Context;
use mica_client::{Failure, words};

pub(super) const EXAMPLES: &str = "\
With --wait it returns as soon as the daemon is ready: it answers, every store is open, and its driver
works on it. A daemon that is not ready in time is a failure, which says what is not.

Examples:
  mica status
  mica serve & mica status --wait 30";

/// Arguments of `mica status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArguments {
    /// Wait so long for the daemon to be ready
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: Option<u64>,
}

/// Prints what the daemon has and does.
pub(crate) fn run(context: &Context, arguments: &StatusArguments) -> Result<(), Failure> {
    if let Some(seconds) = arguments.wait {
        context.wait("/readyz", Duration::from_secs(seconds))?;
    }
    let document = context.client.get("/v1/status")?;
    context.printer.result(&document, || {
        let mut text = String::new();
        write(&document, 0, &mut text);
        text
    })
}

/// Fields one a line, those of an object below its name and indented.
fn write(document: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let Some(fields) = document.as_object() else {
        text.push_str(&format!("{indent}{}\n", words::text(document)));
        return;
    };
    let width = fields.keys().map(String::len).max().unwrap_or(0) + 2;
    for (name, value) in fields {
        let title = name.replace('_', " ");
        match value {
            Value::Object(below) if !below.is_empty() => {
                text.push_str(&format!("{indent}{title}\n"));
                write(value, depth + 1, text);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                text.push_str(&format!("{indent}{title}\n"));
                for item in items {
                    write(item, depth + 1, text);
                }
            }
            value => {
                let line = format!("{indent}{title:width$}{}", in_words(name, value));
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
    }
}

/// A value, with a unit where the name tells one.
fn in_words(name: &str, value: &Value) -> String {
    match (value.as_u64(), name) {
        (Some(count), _) if name.ends_with("_bytes") => words::bytes(count),
        _ => match words::text(value) {
            text if text.is_empty() => "-".to_owned(),
            text => text,
        },
    }
}
