//! The daemon's log, on standard error.
//!
//! Invariant: an event is one line of printable characters, whatever it tells and whoever wrote that; so is a panic.

use super::Error;
use mica_engine::{ClientCall, SafeText};
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::panic::PanicHookInfo;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{MakeExt as _, RecordFields};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Bytes of one field of an event: a message with a driver's text in it has less.
const FIELD_BYTES: usize = 16 << 10;

/// What is logged, which can be said anew.
pub(super) struct Log(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl Log {
    /// Logs by other directives from now on.
    ///
    /// # Errors
    /// [`Error::Log`] when they make no sense; then nothing has changed.
    pub(super) fn change(&self, directives: &str) -> Result<(), Error> {
        (self.0)(filter(directives)?).map_err(|reason| Error::Log {
            directives: directives.to_owned(),
            reason,
        })
    }
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(directives).map_err(|error| Error::Log {
        directives: directives.to_owned(),
        reason: error.to_string(),
    })
}

/// Begins the log.
///
/// # Errors
/// [`Error::Log`] when the directives make no sense.
pub(super) fn start(directives: &str) -> Result<Log, Error> {
    let filter = filter(directives)?;
    let is_colored = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(is_colored)
        .fmt_fields(Fields)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.init();
    std::panic::set_hook(Box::new(tell_panic));
    Ok(Log(Box::new(move |filter| {
        handle.reload(filter).map_err(|error| error.to_string())
    })))
}

/// The fields of an event, and the id of the request that it belongs to. No span has the id, because directives that leave out a
/// span's module would leave out the id with it.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, mut to: Writer<'writer>, fields: R) -> fmt::Result {
        debug_fn(write_field)
            .delimited(" ")
            .format_fields(to.by_ref(), fields)?;
        match ClientCall::current_id() {
            Some(id) => write!(to, " request={id}"),
            None => Ok(()),
        }
    }
}

fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = SafeText::within(&format!("{value:?}"), FIELD_BYTES);
    match field.name() {
        "message" => write!(to, "{text}"),
        name => write!(to, "{name}={text}"),
    }
}

/// The standard hook would write the message of a panic as it is.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        place = place.unwrap_or_default(),
        thread = thread.name().unwrap_or_default(),
        "a defect, a thread panicked: {}",
        panic.payload_as_str().unwrap_or("it did not say why")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A writer that keeps what it gets.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_printable_line_whatever_it_tells() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(Fields)
            .finish();
        let evil = "x\n2026 ERROR forged\u{1b}[31m\u{202e}";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(text = evil, shown = %evil, "{evil}{}", "y".repeat(1 << 20));
        });
        let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert_eq!(log.matches(r"\u{202e}").count(), 3, "{log}");
        assert!(
            !log.trim_end()
                .contains(|one: char| !SafeText::is_printable(one))
        );
        assert!(log.len() < 20_000 && log.contains("(cut, it has"), "{log}");
    }
}
