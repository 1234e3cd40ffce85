//! What every command gets.
//!
//! Invariant: nothing is connected before the first call.

use mica_client::{Client, Printer};

/// What a command needs beside its own arguments.
pub(super) struct Context {
    /// The daemon; nothing is connected before the first call.
    pub(super) client: Client,
    /// The store that layer and snapshot commands are about.
    pub(super) store: String,
    /// Where results go.
    pub(super) printer: Printer,
}
