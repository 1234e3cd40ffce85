//! The numbers that bound what the interfaces take, in one table.
//!
//! Invariant: no number refuses everything: see its range.

use crate::api::rest::Answers;
use std::sync::Arc;
use std::time::Duration;

mica_runtime::numbers! {
    /// Limits of the interfaces. Numbers of connections, requests and streams are those of one listener: no listener is
    /// affected by what another one is asked.
    pub(crate) struct ApiLimits {
        /// Connections at the same time; more are refused at once, as with all numbers that follow.
        connections: usize = 1024, 4 => 1 << 20;
        /// Connections of one client: a process of root, another user, or an address.
        client_connections: usize = 512, 4 => 1 << 20;
        /// Requests that are being answered. Each may need a thread.
        calls: usize = 512, 1 => 1 << 16;
        /// Requests of one client.
        client_calls: usize = 384, 1 => 1 << 16;
        /// Archives and lists under way. Each has an instance of its driver for as long as its client takes, so there are fewer
        /// of them than `limits.streams`, even on three listeners at once.
        streams: usize = 40, 1 => 4096;
        /// Archives and lists of one client.
        client_streams: usize = 32, 1 => 4096;
        /// Mebibytes of requests that are held until they are whole; small requests do not count.
        memory: usize = 256, 1 => 1 << 20;
        /// Mebibytes of requests of one client.
        client_memory: usize = 64, 1 => 1 << 20;
        /// Bytes of a JSON request; the largest that makes sense has some kilobytes.
        json_bytes: usize = 1 << 20, 4 << 10 => 256 << 20;
        /// Seconds that a client may take for its first request and for the head of each, and that an idle connection of
        /// HTTP/1 is kept.
        header_seconds: u64 = 60, 1 => 24 * 60 * 60;
        /// Seconds that a running request may take to end when the daemon is told to stop.
        stop_seconds: u64 = 10, 0 => 60 * 60;
        /// Bytes of an archive after decompression: 1 TiB is far above any layer.
        archive_bytes: u64 = 1 << 40, 1 << 20 => 1 << 60;
        /// How many times larger than its compressed form an archive may be; the first 256 MiB are free. File systems
        /// compress to a third or a fifth; zeros by gzip to a thousandth.
        expansion: u64 = 2000, 1 => 1_000_000_000;
        /// Bytes of a zstd window, rounded down to a power of two: 128 MiB is what the zstd command accepts without a flag.
        zstd_window_bytes: u64 = 128 << 20, 1 << 10 => 2 << 30;
        /// Requests with an `Idempotency-Key` that are carried out or whose answers are kept, 64 KiB of each at most; the oldest answers
        /// go first.
        idempotency_keys: usize = 1024, 1 => 1 << 20;
        /// Seconds that an answer is kept for a client that asks again with the same key.
        idempotency_seconds: u64 = 600, 1 => 24 * 60 * 60;
    }
}

impl ApiLimits {
    /// Room for answers that are kept.
    pub(crate) fn answers(&self) -> Arc<Answers> {
        Answers::new(
            self.idempotency_keys,
            Duration::from_secs(self.idempotency_seconds),
        )
    }

    /// How long a client may take for a head.
    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    /// How long running requests may take to end at a stop.
    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_seconds)
    }
}
