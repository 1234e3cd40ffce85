//! What is measured, in the text format of Prometheus (version 0.0.4).
//!
//! | begins with | is about |
//! |---|---|
//! | `mica_requests`, `mica_request_` | calls of clients, by front end and operation |
//! | `mica_listener_` | what is open on each listener |
//! | `mica_driver_` | drivers, by name and build |
//! | `mica_store_` | stores, by name |
//! | the rest | the daemon as a whole |
//!
//! Invariant: a label's value is a word of this program, or the name of a driver or store, never an id or a text of a client; the
//! stores after the first [`STORES`] are one. A scrape does no work for single layers.
//!
//! See docs/decisions/0065-metrics-are-arrays-of-atomics.md.

mod drivers;
mod text;

use super::share::Listeners;
use super::types::MemoryView;
use mica_engine::{ClientCalls, Figures, SpanFigures, StoreFigures};
use std::time::SystemTime;
use text::{Kind, Text};

/// Stores that are told one by one.
const STORES: usize = 64;
/// The name of those after them, which no store can have.
const OTHERS: &str = "(others)";

/// What is measured outside of the engine.
#[derive(Debug)]
pub(super) struct Process<'a> {
    /// Seconds since the daemon was started.
    pub(super) uptime_seconds: f64,
    /// Its memory, where the kernel tells.
    pub(super) memory: Option<MemoryView>,
    /// What is open on its listeners.
    pub(super) listeners: &'a Listeners,
}

/// The whole text.
pub(super) fn text(process: &Process<'_>, calls: &ClientCalls, figures: &Figures) -> String {
    let mut text = Text::default();
    write_process(&mut text, process);
    write_calls(&mut text, calls);
    write_listeners(&mut text, process.listeners);
    drivers::write(&mut text, &figures.drivers);
    write_stores(&mut text, &figures.stores);
    write_whole(&mut text, figures);
    text.end()
}

fn write_process(text: &mut Text, process: &Process<'_>) {
    let help = "The version of the daemon; always 1.";
    text.family("mica_build_info", Kind::Gauge, help)
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let started = now.unwrap_or_default().as_secs_f64() - process.uptime_seconds;
    let help = "When the daemon was started, in seconds since 1970.";
    text.family("process_start_time_seconds", Kind::Gauge, help)
        .sample(&[], started);
    if let Some(memory) = process.memory {
        let help = "Resident memory of the daemon.";
        text.family("process_resident_memory_bytes", Kind::Gauge, help)
            .sample(&[], memory.resident_bytes);
    }
}

fn write_calls(text: &mut Text, calls: &ClientCalls) {
    let rows = calls.rows();
    let help =
        "Requests that ended, by front end, operation and outcome: ok, or the class of the error.";
    let mut family = text.family("mica_requests_total", Kind::Counter, help);
    for row in &rows {
        for (outcome, count) in &row.outcomes {
            let labels = [
                ("front_end", row.front.word()),
                ("operation", row.operation),
                ("outcome", outcome),
            ];
            family.sample(&labels, count);
        }
    }
    let help = "Time of requests in the engine, without waits for their clients.";
    let mut family = text.family("mica_request_duration_seconds", Kind::Histogram, help);
    for row in &rows {
        let labels = [
            ("front_end", row.front.word()),
            ("operation", row.operation),
        ];
        family.histogram(&labels, &row.microseconds, text::MICROSECONDS);
    }
    let help = "Requests that run, streams of events among them.";
    text.family("mica_requests_running", Kind::Gauge, help)
        .sample(&[], calls.running_count());
    let help = "Requests that took longer than `slow_call_seconds`.";
    text.family("mica_requests_slow_total", Kind::Counter, help)
        .sample(&[], calls.slow_count());
}

fn write_listeners(text: &mut Text, listeners: &Listeners) {
    let open = listeners.open();
    let names = [
        ("mica_listener_connections", "Open connections."),
        (
            "mica_listener_requests",
            "Requests that are being answered.",
        ),
        ("mica_listener_streams", "Archives and lists under way."),
    ];
    for (place, (name, help)) in names.into_iter().enumerate() {
        let mut family = text.family(name, Kind::Gauge, help);
        for (listener, counts) in &open {
            let count = counts.get(place).copied().unwrap_or_default();
            family.sample(&[("listener", listener)], count);
        }
    }
}

fn write_stores(text: &mut Text, stores: &[StoreFigures]) {
    let stores = bounded(stores);
    type Measure = (&'static str, &'static str, fn(&StoreFigures) -> Option<u64>);
    let measures: [Measure; 8] = [
        ("mica_store_layers", "Layers.", |store| Some(store.layers)),
        (
            "mica_store_snapshots",
            "Snapshots of a container runtime.",
            |store| store.snapshots,
        ),
        ("mica_store_mounts", "Mounted layers.", |store| {
            Some(store.mounts)
        }),
        (
            "mica_store_mount_references",
            "References to mounts.",
            |store| Some(store.references),
        ),
        (
            "mica_store_ready",
            "Whether the driver can work on the store and its rows can change.",
            |store| Some(u64::from(store.is_ready)),
        ),
        (
            "mica_store_reserve_bytes",
            "Bytes that the store keeps for removals on a full disk: 524288 if it has all of them.",
            |store| store.reserve,
        ),
        (
            "mica_store_layers_damaged",
            "Layers whose files are not what they were.",
            |store| Some(store.damaged),
        ),
        (
            "mica_store_verified_time_seconds",
            "When all layers had last been verified, in seconds since 1970.",
            |store| store.verified,
        ),
    ];
    for (name, help, measure) in measures {
        let mut family = text.family(name, Kind::Gauge, help);
        for store in &stores {
            if let Some(value) = measure(store) {
                family.sample(&[("store", &store.name), ("driver", &store.driver)], value);
            }
        }
    }
}

/// The first stores, and the others as one.
fn bounded(stores: &[StoreFigures]) -> Vec<StoreFigures> {
    let (first, rest) = stores.split_at(stores.len().min(STORES));
    let mut bounded = first.to_vec();
    if !rest.is_empty() {
        let sum = |of: fn(&StoreFigures) -> u64| rest.iter().map(of).sum();
        bounded.push(StoreFigures {
            name: OTHERS.to_owned(),
            driver: OTHERS.to_owned(),
            layers: sum(|store| store.layers),
            mounts: sum(|store| store.mounts),
            references: sum(|store| store.references),
            snapshots: Some(sum(|store| store.snapshots.unwrap_or(0))),
            is_ready: rest.iter().all(|store| store.is_ready),
            reserve: rest.iter().filter_map(|store| store.reserve).min(),
            damaged: sum(|store| store.damaged),
            verified: rest.iter().map(|store| store.verified).min().flatten(),
        });
    }
    bounded
}

fn write_whole(text: &mut Text, figures: &Figures) {
    let mut gauge = |name, help, value: u64| {
        text.family(name, Kind::Gauge, help).sample(&[], value);
    };
    gauge(
        "mica_sandbox_operations_running",
        "Operations in the sandbox.",
        figures.running,
    );
    gauge(
        "mica_trash_backlog",
        "Removed layers whose files wait for their deletion.",
        figures.trash_backlog,
    );
    gauge(
        "mica_trash_undeletable",
        "Removed layers whose files cannot be deleted now.",
        figures.undeletable,
    );
    gauge(
        "mica_problems",
        "What needs a person; `mica status` tells of each.",
        figures.problems,
    );
    if let Some((total, free)) = figures.room_bytes {
        gauge(
            "mica_filesystem_size_bytes",
            "Size of the root directory's file system.",
            total,
        );
        gauge(
            "mica_filesystem_free_bytes",
            "Free bytes of the root directory's file system.",
            free,
        );
    }
    gauge(
        "mica_events_kept",
        "Events that are kept for listeners that come later.",
        figures.events.kept,
    );
    gauge(
        "mica_event_listeners",
        "Listeners of events.",
        figures.events.listeners,
    );
    write_scrub(text, figures);
    write_spans(text, &figures.spans);
    write_refusals(text, figures);
    let help = "Events that were kept once and are not any more.";
    text.family("mica_events_dropped_total", Kind::Counter, help)
        .sample(&[], figures.events.dropped);
    let help = "Events since the start, by kind.";
    let mut family = text.family("mica_events_total", Kind::Counter, help);
    for (kind, count) in &figures.events.told {
        family.sample(&[("kind", kind)], count);
    }
}

fn write_refusals(text: &mut Text, figures: &Figures) {
    let help = "Components that were refused for what they import and were not granted.";
    text.family("mica_refused_loads_total", Kind::Counter, help)
        .sample(&[], figures.refused_loads);
}

fn write_scrub(text: &mut Text, figures: &Figures) {
    let help = "Bytes of layers that were read to take or to compare digests.";
    text.family("mica_scrub_bytes_total", Kind::Counter, help)
        .sample(&[], figures.scrubbed_bytes);
    let help = "Layers that were found damaged.";
    text.family("mica_scrub_layers_damaged_total", Kind::Counter, help)
        .sample(&[], figures.scrubbed_damaged);
    let help = "Damaged layers that were made again.";
    text.family("mica_scrub_layers_repaired_total", Kind::Counter, help)
        .sample(&[], figures.repaired);
}

fn write_spans(text: &mut Text, spans: &SpanFigures) {
    let help = "Spans of traces that wait for the collector.";
    text.family("mica_trace_spans_waiting", Kind::Gauge, help)
        .sample(&[], spans.waiting);
    let help = "Spans that the collector took.";
    text.family("mica_trace_spans_delivered_total", Kind::Counter, help)
        .sample(&[], spans.delivered);
    let help = "Spans that are lost, because there was no room for them, the collector was away, or it refused them.";
    let mut family = text.family("mica_trace_spans_lost_total", Kind::Counter, help);
    let lost = [
        ("no-room", spans.no_room),
        ("away", spans.away),
        ("refused", spans.refused),
    ];
    for (reason, count) in lost {
        family.sample(&[("reason", reason)], count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stores_are_few_series() {
        let store = |number: usize| StoreFigures {
            name: format!("s{number}"),
            driver: "vfs".to_owned(),
            layers: 1,
            mounts: 0,
            references: 0,
            snapshots: None,
            is_ready: true,
            reserve: None,
            damaged: 0,
            verified: None,
        };
        let stores: Vec<_> = (0..1000).map(store).collect();
        let bounded = bounded(&stores);
        assert_eq!(bounded.len(), STORES + 1);
        assert_eq!(bounded.iter().map(|store| store.layers).sum::<u64>(), 1000);
        assert_eq!(bounded[STORES].name, OTHERS);
    }
}
