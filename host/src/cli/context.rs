//! What every command gets.
//!
//! Invariant: nothing is connected before the first call.

use mica_client::{Client, Failure, Printer, segment};
use serde_json::Value;

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

    /// Every entry of a list that comes in pages, in its order.
    ///
    /// # Errors
    /// Those of asking.
    pub(super) fn all(&self, target: &str, name: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut query = String::new();
        loop {
            let mut page = self.client.get(&format!("{target}{query}"))?;
            if let Some(Value::Array(entries)) = page.get_mut(name).map(Value::take) {
                all.extend(entries);
            }
            let Some(next) = next_page(&page, &query)? else {
                return Ok(all);
            };
            query = next;
        }
    }
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
