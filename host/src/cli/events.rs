//! `mica events`.
//!
//! Invariant: each event is written as soon as it comes, one a line.

use std::io::{self, Write};

use serde_json::Value;

use super::context::Context;
use mica_client::{Failure, Printer, printable_json, words};

/// Follows the daemon's events until it ends or the reader goes away.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let mut lines = Lines {
        printer: context.printer,
        rest: Vec::new(),
    };
    match context.client.get_stream("/v1/events", &mut lines) {
        Err(Failure::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        followed => followed.map(drop),
    }
}

/// Takes an event stream apart and writes its documents.
struct Lines {
    printer: Printer,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if let Some(text) = render(&String::from_utf8_lossy(&line), self.printer.is_json()) {
                let mut stdout = io::stdout().lock();
                writeln!(stdout, "{text}")?;
                stdout.flush()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of an event stream as it is printed; comments and names of events are not.
fn render(line: &str, is_json: bool) -> Option<String> {
    let data = line.trim_end().strip_prefix("data:")?.trim_start();
    let event: Value = serde_json::from_str(data).ok()?;
    if is_json {
        return Some(printable_json(&event.to_string()));
    }
    let mut text = format!(
        "{}  {:18}",
        words::moment(&event, "time"),
        words::field(&event, "kind")
    );
    for name in ["store", "layer", "driver", "detail"] {
        if let Some(value) = event.get(name).filter(|value| !value.is_null()) {
            text.push_str(&format!("  {name} {}", words::text(value)));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_is_printed() {
        assert_eq!(render(": keep-alive\n", false), None);
        assert_eq!(render("event: layer.created\n", false), None);
        let line = r#"data: {"time":"2026-01-31T12:00:00.5Z","kind":"layer.created","store":"default","layer":"a","driver":null}"#;
        let text = "2026-01-31T12:00:00Z  layer.created       store default  layer a";
        assert_eq!(render(line, false).as_deref(), Some(text));
    }
}
