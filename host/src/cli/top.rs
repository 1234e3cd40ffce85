//! `mica top`.
//!
//! Invariant: asks and prints; between two looks nothing is kept.

use std::io::{self, IsTerminal as _, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::context::Context;
use crate::api::types::{CallView, OperationList};
use mica_client::{Column, Failure, Printer, printable_json, read, table, words};

pub(super) const EXAMPLES: &str = "\
Shows what the daemon does now, the oldest first: requests of REST, of Docker and of containerd, with
the build that works for them. REQUEST is the id by which the log, events and errors know it. With
--output json each operation of each look is one line.

Examples:
  mica top
  mica top --once
  mica --output json top --once | jq 'select(.age_ms > 1000)'";

/// Goes to the beginning of the screen and clears what is there.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Arguments of `mica top`.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArguments {
    /// Look once and end
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

/// Shows what runs until interrupted, or until nobody reads any more.
pub(crate) fn run(context: &Context, arguments: &TopArguments) -> Result<(), Failure> {
    let printer = context.printer;
    let clears = !arguments.once && !printer.is_for_programs() && io::stdout().is_terminal();
    loop {
        let document = context.client.get("/v1/operations")?;
        let mut text = match (printer.is_for_programs(), read(&document)) {
            (false, Some(list)) => screen(&list),
            // Of a daemon that tells it otherwise, as it came.
            _ => lines(printer, &document),
        };
        if clears {
            text.insert_str(0, CLEAR);
        }
        if !write(&text)? || arguments.once {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(arguments.every));
    }
}

/// Writes to standard output; false if nobody reads there.
fn write(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written
            .map(|()| true)
            .map_err(Failure::io("write to standard output")),
    }
}

/// One document a line.
fn lines(printer: Printer, document: &Value) -> String {
    let operations = words::list(document, "operations").iter();
    operations
        .map(|operation| {
            let line = printer.line(operation);
            format!(
                "{}\n",
                line.unwrap_or_else(|| printable_json(&operation.to_string()))
            )
        })
        .collect()
}

fn screen(list: &OperationList) -> String {
    if list.operations.is_empty() {
        return "nothing runs\n".to_owned();
    }
    let columns = [
        Column::Number("age"),
        Column::Text("front end"),
        Column::Text("operation"),
        Column::Text("driver"),
        Column::Text("store"),
        Column::Text("layer"),
        Column::Number("bytes"),
        Column::Text("client"),
        Column::Text("request"),
    ];
    format!(
        "{}\n",
        table(&columns, list.operations.iter().map(row).collect())
    )
}

fn row(call: &CallView) -> Vec<String> {
    let driver = match (&call.driver, call.generation) {
        (Some(driver), Some(generation)) => format!("{} ({generation})", words::safe(driver)),
        (driver, _) => words::told(driver),
    };
    vec![
        words::duration(Duration::from_millis(call.age_ms)),
        words::told(&call.front_end),
        words::told(&call.operation),
        driver,
        words::told(&call.store),
        words::told(&call.layer),
        words::bytes(call.bytes),
        words::told(&call.client),
        words::told(&call.request),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_screen_has_a_line_for_each_operation() {
        let list = json!({"operations": [
            {"request": "r1", "front_end": "rest", "client": "user 7", "operation": "diff_layer", "store": "default",
             "layer": "base", "driver": "vfs", "generation": 2, "began": "2026-01-31T12:00:00.000000000Z",
             "age_ms": 1234, "bytes": 2_000_000},
            {"request": "r2", "front_end": "docker", "client": "root, process 3", "operation": "GraphDriver.Get",
             "began": "2026-01-31T12:00:00.000000000Z", "age_ms": 61_000, "bytes": 0},
        ]});
        let shown = screen(&serde_json::from_value(list).unwrap());
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[0].trim_start().starts_with("AGE"), "{shown}");
        let told = [
            "1.23 s",
            "rest",
            "diff_layer",
            "vfs (2)",
            "default",
            "base",
            "2.0 MB",
            "user 7",
            "r1",
        ];
        let mut from = 0;
        for text in told {
            let found = lines[1][from..].find(text);
            from += found.unwrap_or_else(|| panic!("`{text}` is missing: {shown}"));
        }
        assert!(
            lines[2].ends_with("r2") && lines[2].contains('-'),
            "{shown}"
        );
        assert_eq!(
            screen(&OperationList {
                operations: Vec::new(),
                next: None,
            }),
            "nothing runs\n"
        );
    }
}
