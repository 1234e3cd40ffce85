//! The numbers that bound what the interfaces take, in one table.
//!
//! Invariant: no number refuses everything.

use super::{Error, invalid};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Limits of the interfaces. Numbers of connections, requests and streams are those of one listener: no listener is
/// affected by what another one is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiLimits {
    /// Connections at the same time; more are refused at once, as with all numbers that follow.
    pub(crate) connections: usize,
    /// Connections of one client: a process of root, another user, or an address.
    pub(crate) client_connections: usize,
    /// Requests that are being answered. Each may need a thread.
    pub(crate) calls: usize,
    /// Requests of one client.
    pub(crate) client_calls: usize,
    /// Archives and lists under way. Each has an instance of its driver for as long as its client takes, so there are fewer
    /// of them than `limits.streams`, even on three listeners at once.
    pub(crate) streams: usize,
    /// Archives and lists of one client.
    pub(crate) client_streams: usize,
    /// Mebibytes of requests that are held until they are whole; small requests do not count.
    pub(crate) memory: usize,
    /// Mebibytes of requests of one client.
    pub(crate) client_memory: usize,
    /// Bytes of a JSON request; the largest that makes sense has some kilobytes.
    pub(crate) json_bytes: usize,
    /// Seconds that a client may take for its first request and for the head of each, and that an idle connection of
    /// HTTP/1 is kept.
    pub(crate) header_seconds: u64,
    /// Seconds that a running request may take to end when the daemon is told to stop.
    pub(crate) stop_seconds: u64,
    /// Bytes of an archive after decompression: 1 TiB is far above any layer.
    pub(crate) archive_bytes: u64,
    /// How many times larger than its compressed form an archive may be; the first 256 MiB are free. File systems
    /// compress to a third or a fifth; zeros by gzip to a thousandth.
    pub(crate) expansion: u64,
    /// Bytes of a zstd window, rounded down to a power of two: 128 MiB is what the zstd command accepts without a flag.
    pub(crate) zstd_window_bytes: u64,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            client_connections: 512,
            calls: 512,
            client_calls: 384,
            streams: 40,
            client_streams: 32,
            memory: 256,
            client_memory: 64,
            json_bytes: 1 << 20,
            header_seconds: 60,
            stop_seconds: 10,
            archive_bytes: 1 << 40,
            expansion: 2000,
            zstd_window_bytes: 128 << 20,
        }
    }
}

impl ApiLimits {
    /// How long a client may take for a head.
    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    /// How long running requests may take to end at a stop.
    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_seconds)
    }

    /// Refuses what would refuse everything.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, is_zero) in [
            ("connections", self.connections == 0),
            ("client_connections", self.client_connections == 0),
            ("calls", self.calls == 0),
            ("client_calls", self.client_calls == 0),
            ("streams", self.streams == 0),
            ("client_streams", self.client_streams == 0),
            ("memory", self.memory == 0),
            ("client_memory", self.client_memory == 0),
            ("json_bytes", self.json_bytes == 0),
            ("header_seconds", self.header_seconds == 0),
            ("archive_bytes", self.archive_bytes == 0),
            ("expansion", self.expansion == 0),
            ("zstd_window_bytes", self.zstd_window_bytes == 0),
        ] {
            if is_zero {
                return Err(invalid(&format!("api.{name}"), "0 would refuse everything"));
            }
        }
        Ok(())
    }
}
