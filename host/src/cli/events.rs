//! `mica events`.
//!
//! Invariant: each event is written as soon as it comes, one a line.

use std::io::{self, Write};

use serde_json::Value;

use super::context::Context;
use mica_client::{Failure, Printer, query, words};
use mica_engine::Moment;

pub(super) const EXAMPLES: &str = "\
The daemon keeps its last 4096 events. With --store only those that are about a store are told.

Examples:
  mica events
  mica events --since 10m --no-follow --kind driver
  mica --json events --kind layer.created,layer.removed --store default";

/// Arguments of `mica events`.
#[derive(Debug, clap::Args)]
pub(crate) struct EventArguments {
    /// Begin with what happened so long ago (30s, 10m, 2h, 1d), at this time (2026-01-31T12:00:00Z), or after the event of this number
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// End after what has happened already
    #[arg(long, requires = "since")]
    no_follow: bool,
    /// Only these kinds, separated by commas; `layer`, `store` and `driver` stand for all of theirs
    #[arg(long, value_name = "KINDS")]
    kind: Option<String>,
    /// Only what is about this layer
    #[arg(long, value_name = "ID")]
    layer: Option<String>,
    /// Only what is about this driver
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
}

impl EventArguments {
    fn target(&self, store: Option<&str>) -> Result<String, Failure> {
        let since = self.since.as_deref().map(since).transpose()?;
        let query = query([
            ("since", since),
            ("follow", self.no_follow.then(|| "false".to_owned())),
            ("kind", self.kind.clone()),
            ("store", store.map(str::to_owned)),
            ("layer", self.layer.clone()),
            ("driver", self.driver.clone()),
        ]);
        Ok(format!("/v1/events{query}"))
    }
}

/// What the daemon takes for a beginning: a time in the past is told as a moment.
pub(super) fn since(text: &str) -> Result<String, Failure> {
    let unit = match text.bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        // The daemon says what is wrong with any other.
        _ => return Ok(text.to_owned()),
    };
    let number = text
        .get(..text.len() - 1)
        .unwrap_or_default()
        .parse::<u64>();
    let passed = number.ok().and_then(|number| number.checked_mul(unit));
    let now = Moment::now();
    match passed.and_then(|passed| now.seconds.checked_sub(passed)) {
        Some(seconds) => Ok(Moment { seconds, ..now }.to_string()),
        None => Err(Failure::Usage {
            what: format!("`{}` is no time that has passed", words::safe(text)),
            remedy: "give a number and s, m, h or d: `--since 10m`",
        }),
    }
}

/// Follows the daemon's events until it ends or the reader goes away.
pub(crate) fn run(
    context: &Context,
    arguments: &EventArguments,
    store: Option<&str>,
) -> Result<(), Failure> {
    follow(context, &arguments.target(store)?, told)
}

/// Writes the documents of a stream of events as they come, for people as `text` says.
pub(super) fn follow(
    context: &Context,
    target: &str,
    text: fn(&Value) -> String,
) -> Result<(), Failure> {
    let mut lines = Lines {
        printer: context.printer,
        text,
        rest: Vec::new(),
    };
    match context.client.get_stream(target, &mut lines) {
        Err(Failure::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        followed => followed.map(drop),
    }
}

/// Takes an event stream apart and writes its documents.
struct Lines {
    printer: Printer,
    text: fn(&Value) -> String,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(text) = render(&line, self.printer, self.text) {
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
fn render(line: &str, printer: Printer, text: fn(&Value) -> String) -> Option<String> {
    let data = line.trim_end().strip_prefix("data:")?.trim_start();
    let event: Value = serde_json::from_str(data).ok()?;
    Some(printer.line(&event).unwrap_or_else(|| text(&event)))
}

/// An event as people read it.
fn told(event: &Value) -> String {
    let mut text = format!(
        "{}  {:18}",
        words::moment(event, "time"),
        words::field(event, "kind")
    );
    for name in ["store", "layer", "driver", "detail"] {
        if let Some(value) = event.get(name).filter(|value| !value.is_null()) {
            text.push_str(&format!("  {name} {}", words::text(value)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_passed_becomes_a_moment() {
        for text in ["90s", "10m", "2h", "1d"] {
            let told: Moment = since(text).unwrap().parse().unwrap();
            assert!(told < Moment::now(), "{text}");
        }
        assert_eq!(since("17").unwrap(), "17");
        assert!(since("99999999999999d").is_err() && since("-1m").is_err() && since("m").is_err());
    }

    #[test]
    fn only_data_is_printed() {
        let people = Printer::new(mica_client::Output::Table);
        assert_eq!(render(": keep-alive\n", people, told), None);
        assert_eq!(render("event: layer.created\n", people, told), None);
        let line = r#"data: {"time":"2026-01-31T12:00:00.5Z","kind":"layer.created","store":"default","layer":"a","driver":null}"#;
        let text = "2026-01-31T12:00:00Z  layer.created       store default  layer a";
        assert_eq!(render(line, people, told).as_deref(), Some(text));
    }
}
