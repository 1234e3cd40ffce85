//! What every command gets.
//!
//! Invariant: nothing is connected before the first call.

use mica_client::{Client, Failure, Printer, segment, words};
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
            match page.get("next").map(words::text) {
                Some(next) if !next.is_empty() => query = format!("?after={}", segment(&next)),
                _ => return Ok(all),
            }
        }
    }
}
