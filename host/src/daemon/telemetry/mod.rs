//! Sends spans to a collector of this machine, by OTLP over HTTP.
//!
//! | what happens | what becomes of spans |
//! |---|---|
//! | the collector is away, slow, or has no room | they are sent again, later and later, for [`PATIENCE`]; then they are lost |
//! | it refuses them | they are lost |
//! | more end than are sent | the queue of the engine is full, and new ones are lost |
//! | the daemon ends | what waits is sent once more, for [`FAREWELL`] |
//!
//! Invariant: no call waits for a collector; what is lost is counted by why it is.
//!
//! See docs/decisions/0074-traces-are-sent-by-an-exporter-of-our-own.md.

mod otlp;
mod post;

use crate::config::{Endpoint, Telemetry};
use axum::body::Bytes;
use mica_engine::{Engine, SafeText, Spans, Undelivered};
use otlp::Resource;
use post::{Told, post};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Spans of one request, unless one operation has more.
const BATCH_SPANS: usize = 512;
/// How long spans are gathered, so that those of a call go together.
const PAUSE: Duration = Duration::from_millis(500);
/// For how long the same spans are sent again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first wait before they are, and the longest: each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// For how long the end of the daemon waits for a collector.
const FAREWELL: Duration = Duration::from_secs(1);

/// What sends spans.
#[derive(Debug)]
struct Exporter {
    spans: Arc<Spans>,
    endpoint: Endpoint,
    resource: Resource,
    /// A request that the collector has not taken yet, and its spans.
    in_hand: Option<(Bytes, u64)>,
    /// Whether the log was told that the collector does not take spans: it is told once.
    is_told: bool,
}

/// An exporter that runs.
#[derive(Debug)]
pub(super) struct Exporting {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Begins to send what the engine records, if it records anything.
pub(super) fn start(config: Option<&Telemetry>, engine: &Engine) -> Option<Exporting> {
    let (config, spans) = (config?, engine.calls().spans()?);
    let exporter = Exporter::new(
        Arc::clone(spans),
        config.endpoint.clone(),
        &engine.start_id(),
    );
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(exporter.run(ended));
    Some(Exporting { end, task })
}

impl Exporting {
    /// Sends what is left, now that no call runs any more.
    pub(super) async fn end(self) {
        // An error means that it has ended by a panic, of which the log has been told.
        let _heard = self.end.send(());
        let _ended = self.task.await;
    }
}

impl Exporter {
    /// For the start of the daemon with this id.
    fn new(spans: Arc<Spans>, endpoint: Endpoint, start: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let resource = Resource::new(&[
            ("service.name", "mica"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", start),
            ("host.name", &SafeText::label(host.trim())),
        ]);
        Self {
            spans,
            endpoint,
            resource,
            in_hand: None,
            is_told: false,
        }
    }

    /// Sends what there is until the daemon ends, and then what is left.
    async fn run(mut self, ended: oneshot::Receiver<()>) {
        tracing::info!(endpoint = %self.endpoint, "traces are sent");
        tokio::select! {
            () = self.go_on() => {}
            _ = ended => {}
        }
        // What is left after that nobody will ever get.
        let _in_time = timeout(FAREWELL, self.say_farewell()).await;
    }

    async fn go_on(&mut self) {
        loop {
            self.spans.filled().await;
            sleep(PAUSE).await;
            self.deliver().await;
            // Spans may end faster than one request in each pause can carry.
            while self.spans.figures().waiting >= BATCH_SPANS as u64 {
                self.deliver().await;
            }
        }
    }

    async fn say_farewell(&mut self) {
        while let Some((bytes, count)) = self.next() {
            match post(&self.endpoint, bytes).await {
                Told::Later(_) => return,
                told => self.settle(told, count),
            }
        }
    }

    /// The request that is in hand, or the next.
    fn next(&mut self) -> Option<(Bytes, u64)> {
        if self.in_hand.is_none() {
            let taken = self.spans.take(BATCH_SPANS);
            if !taken.is_empty() {
                let (bytes, count) = otlp::request(&self.resource, taken);
                self.in_hand = Some((bytes.into(), count));
            }
        }
        self.in_hand.clone()
    }

    /// Sends the next request until the collector has it or it is given up.
    async fn deliver(&mut self) {
        let (since, mut wait) = (Instant::now(), FIRST_WAIT);
        while let Some((bytes, count)) = self.next() {
            match post(&self.endpoint, bytes).await {
                Told::Later(reason) if since.elapsed() + wait < PATIENCE => {
                    self.tell(&reason);
                    sleep(wait).await;
                    wait = LONGEST_WAIT.min(2 * wait);
                }
                told => return self.settle(told, count),
            }
        }
    }

    /// Counts what became of the request that is in hand.
    fn settle(&mut self, told: Told, count: u64) {
        self.in_hand = None;
        match told {
            Told::Taken(rejected, reason) => {
                let rejected = rejected.min(count);
                self.spans.note_delivered(count - rejected);
                self.spans.note_lost(rejected, Undelivered::Refused);
                match rejected {
                    0 => self.is_told = false,
                    _ => self.tell(&reason),
                }
            }
            Told::Refused(reason) => {
                self.spans.note_lost(count, Undelivered::Refused);
                self.tell(&reason);
            }
            Told::Later(reason) => {
                self.spans.note_lost(count, Undelivered::Away);
                self.tell(&reason);
            }
        }
    }

    /// Tells the log that the collector does not take spans, once until it does.
    fn tell(&mut self, reason: &SafeText) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(endpoint = %self.endpoint, %reason, "the collector of traces does not take them; what is lost is counted in `/metrics`");
        }
    }
}
