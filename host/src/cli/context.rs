//! What every command gets.
//!
//! Invariant: nothing is connected before the first call.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mica_client::{Client, Failure, Printer, segment};
use serde_json::Value;

/// How often a daemon that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it may take to answer in any case.
const LEAST: Duration = Duration::from_secs(1);

/// What a command needs beside its own arguments.
pub(super) struct Context {
    /// The daemon; nothing is connected before the first call.
    pub(super) client: Client,
    /// The store that layer and snapshot commands are about.
    pub(super) store: String,
    /// Where results go.
    pub(super) printer: Printer,
}

impl Context {
    /// The same, for a command that puts right what it has begun when a signal ends it.
    ///
    /// # Errors
    /// As [`Client::heed_interrupts`].
    pub(super) fn heeding(&self) -> Result<Self, Failure> {
        let mut client = self.client.again()?;
        client.heed_interrupts()?;
        Ok(Self {
            client,
            store: self.store.clone(),
            printer: self.printer,
        })
    }

    /// Waits until the daemon answers at this target without a problem.
    ///
    /// # Errors
    /// Why it does not, after this time.
    pub(super) fn wait(&self, target: &str, longest: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let left = longest.saturating_sub(begun.elapsed());
            match self.ask(target, left.max(LEAST)) {
                Ok(()) => return Ok(()),
                Err(failure) if left.is_zero() => return Err(failure),
                Err(_not_yet) => thread::sleep(PAUSE.min(left)),
            }
        }
    }

    /// Asks once.
    fn ask(&self, target: &str, longest: Duration) -> Result<(), Failure> {
        let (client, target) = (self.client.again()?, target.to_owned());
        let asked = within(longest, move || {
            client.get_stream(&target, &mut io::sink()).map(drop)
        });
        asked.unwrap_or_else(|| {
            Err(Failure::Unreachable {
                place: self.client.place().to_string(),
                source: io::ErrorKind::TimedOut.into(),
            })
        })
    }

    /// Every entry of a list that comes in pages, in its order.
    ///
    /// # Errors
    /// Those of asking.
    pub(super) fn all(&self, target: &str, name: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        self.pages(target, name, &mut |entries| all.extend(entries))?;
        Ok(all)
    }

    /// The same, page by page. The target may have a query.
    ///
    /// # Errors
    /// Those of asking.
    pub(super) fn pages(
        &self,
        target: &str,
        name: &str,
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), Failure> {
        let has_query = target.contains('?');
        let mut query = String::new();
        loop {
            let further = match has_query {
                true => query.replacen('?', "&", 1),
                false => query.clone(),
            };
            let mut page = self.client.get(&format!("{target}{further}"))?;
            if let Some(Value::Array(entries)) = page.get_mut(name).map(Value::take) {
                each(entries);
            }
            let Some(next) = next_page(&page, &query)? else {
                return Ok(());
            };
            query = next;
        }
    }
}

/// Asks on a thread of its own: a daemon that takes the connection and says nothing is not waited for any longer than this.
pub(super) fn within<T: Send + 'static>(
    longest: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Whoever waited may have gone.
        let _told = tell.send(ask());
    });
    told.recv_timeout(longest).ok()
}

/// The query for the page behind this one, which was asked for with `asked`; nothing behind the last.
///
/// # Errors
/// [`Failure::Untrue`] when the list does not move on, because it would never end.
fn next_page(page: &Value, asked: &str) -> Result<Option<String>, Failure> {
    let next = match page.get("next") {
        // As it is, and not as it is shown: the daemon compares it with what it has.
        Some(Value::String(next)) if !next.is_empty() => segment(next),
        Some(Value::Number(next)) => next.to_string(),
        _ => return Ok(None),
    };
    let query = format!("?after={next}");
    if query == asked {
        return Err(Failure::Untrue {
            what: format!(
                "the daemon says that a list goes on behind `{next}`, and that is where its page began"
            ),
            remedy: None,
        });
    }
    Ok(Some(query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_next_page_begins_where_the_daemon_says() {
        let after = |next: Value, asked: &str| next_page(&json!({ "next": next }), asked);
        let odd = after(json!("a\u{202e}b"), "").unwrap();
        assert_eq!(odd.as_deref(), Some("?after=a%E2%80%AEb"));
        assert_eq!(after(json!(7), "").unwrap().as_deref(), Some("?after=7"));
        assert_eq!(after(json!(null), "?after=a").unwrap(), None);
        assert!(after(json!("a"), "?after=a").is_err(), "it never ends");
    }
}
