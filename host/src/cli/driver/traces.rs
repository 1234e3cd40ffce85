//! `mica driver traces` and `mica driver trace`.
//!
//! Invariant: what a layer's names or a driver's texts have in them is shown safely.

use super::super::context::Context;
use super::short;
use crate::api::types::{TraceDocument, TraceList};
use mica_client::{Column, Failure, NewFile, pairs, query, segment, table, words};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(super) const LIST_EXAMPLES: &str = "\
The daemon records the host calls of each driver's last operations, in memory: half of `driver_trace_bytes` for those that
failed, half for the others. A request may need several operations; an error names the request's id.

Examples:
  mica driver traces overlay
  mica driver traces overlay --failed
  mica driver traces overlay --request 5f0c2b9e1d3a4c77";

pub(super) const EXAMPLES: &str = "\
Without --number it is the last operation of the request that failed, or else the last one. The file that -o writes has the
component in it, so that `mica driver replay` needs nothing else. It holds names from layers, and what the driver read of files
of its own: look at it before you give it away.

Examples:
  mica driver trace overlay 5f0c2b9e1d3a4c77
  mica driver trace overlay 5f0c2b9e1d3a4c77 -o failed.trace
  mica driver replay failed.trace";

/// Arguments of `mica driver traces`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArguments {
    /// The driver
    name: String,
    /// Only operations that failed
    #[arg(long)]
    failed: bool,
    /// Only operations about this layer
    #[arg(long, value_name = "ID")]
    layer: Option<String>,
    /// Only operations that the request of this id needed
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

/// Arguments of `mica driver trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct TraceArguments {
    /// The driver
    name: String,
    /// The id of the request; `-` for the daemon's own work
    #[arg(value_name = "REQUEST")]
    request: String,
    /// The number of the operation in `mica driver traces`
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Write it to this file, to be replayed
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave the component out of the file
    #[arg(long, requires = "out")]
    without_component: bool,
}

/// Lists what is recorded of a driver.
pub(super) fn list(
    context: &Context,
    arguments: ListArguments,
    store: Option<&str>,
) -> Result<(), Failure> {
    let ListArguments {
        name,
        failed,
        layer,
        request,
    } = arguments;
    let query = query([
        ("store", store.map(str::to_owned)),
        ("layer", layer),
        ("request", request),
        ("failed", failed.then(|| "true".to_owned())),
    ]);
    let target = format!("/v1/drivers/{}/traces{query}", segment(&name));
    context.printer.view(&context.client.get(&target)?, rows)
}

fn rows(list: &TraceList) -> String {
    let rows = list.traces.iter().map(|trace| {
        vec![
            trace.number.to_string(),
            words::seconds(&trace.time),
            words::told(&trace.request),
            words::told(&trace.function),
            words::told(&trace.store),
            words::told(&trace.layer),
            trace.calls.to_string(),
            if trace.obstacle.is_none() {
                "yes"
            } else {
                "no"
            }
            .to_owned(),
            words::told(&trace.code),
        ]
    });
    let columns = [
        Column::Number("number"),
        Column::Text("ended"),
        Column::Text("request"),
        Column::Text("function"),
        Column::Text("store"),
        Column::Text("layer"),
        Column::Number("calls"),
        Column::Text("replays"),
        Column::Text("error"),
    ];
    table(&columns, rows.collect())
}

/// Shows the host calls of an operation, or writes it to a file.
pub(super) fn show(context: &Context, arguments: TraceArguments) -> Result<(), Failure> {
    let TraceArguments {
        name,
        request,
        number,
        out,
        without_component,
    } = arguments;
    let base = format!(
        "/v1/drivers/{}/traces/{}",
        segment(&name),
        segment(&request)
    );
    let number = number.map(|number| number.to_string());
    match out {
        None => {
            let query = query([("number", number)]);
            let document = context.client.get(&format!("{base}{query}"))?;
            context.printer.view(&document, calls)
        }
        Some(file) => {
            let component = without_component.then(|| "false".to_owned());
            let query = query([("number", number), ("component", component)]);
            export(context, &format!("{base}/file{query}"), &file)
        }
    }
}

fn export(context: &Context, target: &str, file: &Path) -> Result<(), Failure> {
    let doing = || format!("write `{}`", file.display());
    let mut bytes = Vec::new();
    context.client.get_stream(target, &mut bytes)?;
    // It holds names from layers, and what the driver read.
    let new = NewFile::create_private(file).map_err(Failure::io(doing()))?;
    let written = new.file().write_all(&bytes);
    written.map_err(Failure::io(doing()))?;
    new.complete(file).map_err(Failure::io(doing()))?;
    let count_bytes = bytes.len() as u64;
    let document = json!({ "file": file.display().to_string(), "bytes": count_bytes });
    context.printer.result(&document, || {
        format!("{}  {}", file.display(), words::bytes(count_bytes))
    })
}

/// The host calls of an operation as people read them.
pub(in super::super) fn calls(document: &TraceDocument) -> String {
    let operation = &document.operation;
    let mut lines = vec![
        ("function", words::told(&operation.function)),
        ("store", words::told(&operation.store)),
        ("layer", words::told(&operation.layer)),
        ("request", words::told(&operation.request)),
        ("ended", words::seconds(&operation.time)),
        ("generation", operation.generation.to_string()),
        ("digest", short(&operation.digest)),
        ("host calls", operation.calls.to_string()),
        ("answer", words::told(&document.answer)),
    ];
    if let Some(error) = &operation.error {
        lines.push(("error", words::safe(error)));
    }
    if let Some(obstacle) = &operation.obstacle {
        lines.push(("cannot be replayed", words::safe(obstacle)));
    }
    let rows = document.host_calls.iter().map(|call| {
        vec![
            call.number.to_string(),
            words::told(&call.function),
            words::told(&call.arguments),
            words::told(&call.answer),
        ]
    });
    let columns = [
        Column::Number("call"),
        Column::Text("function"),
        Column::Text("arguments"),
        Column::Text("answer"),
    ];
    let table = table(&columns, rows.collect());
    format!("{}\n{table}", pairs(lines))
}
