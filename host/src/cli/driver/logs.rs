//! `mica driver logs`.
//!
//! Invariant: each line is written as it comes, one a line.

use super::super::context::Context;
use super::super::events;
use mica_client::{Failure, query, segment, words};
use serde_json::Value;

pub(super) const EXAMPLES: &str = "\
A line is what the driver wrote to its standard error or output, or with the `log` interface; or why and where the sandbox
ended an operation. The daemon keeps the last MiB of each driver (`driver_log_bytes`), and of one operation 64 KiB
(`log_bytes`): the rest is counted. With --store only lines that are about a store are told.

Examples:
  mica driver logs overlay
  mica driver logs overlay -n 20 --follow
  mica driver logs overlay --since 10m --layer base
  mica driver logs overlay --request 5f0c2b9e1d3a4c77    what one request made it say; an error names its id
  mica --output json driver logs overlay";

/// Arguments of `mica driver logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArguments {
    /// The driver
    name: String,
    /// Go on with what comes, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only so many of the last lines
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// Begin with what was said so long ago (30s, 10m, 2h, 1d), at this time (2026-01-31T12:00:00Z), or after the line of this number
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only lines about this layer
    #[arg(long, value_name = "ID")]
    layer: Option<String>,
    /// Only lines of the request with this id
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

/// Prints what a driver said.
pub(super) fn run(
    context: &Context,
    arguments: LogArguments,
    store: Option<&str>,
) -> Result<(), Failure> {
    let LogArguments {
        name,
        follow,
        lines,
        since,
        layer,
        request,
    } = arguments;
    let query = query([
        ("since", since.as_deref().map(events::since).transpose()?),
        ("follow", follow.then(|| "true".to_owned())),
        ("last", lines.map(|lines| lines.to_string())),
        ("store", store.map(str::to_owned)),
        ("layer", layer),
        ("request", request),
    ]);
    let target = format!("/v1/drivers/{}/logs{query}", segment(&name));
    events::follow(context, &target, text)
}

/// A line as people read it.
fn text(line: &Value) -> String {
    let mut text = format!(
        "{}  {:6} {:8}",
        words::moment(line, "time"),
        words::field(line, "source"),
        words::field(line, "operation"),
    );
    for name in ["store", "layer", "request"] {
        if let Some(value) = line.get(name).filter(|value| !value.is_null()) {
            text.push_str(&format!("  {name} {}", words::text(value)));
        }
    }
    format!("{text}: {}", words::field(line, "text"))
}
