//! What a driver says: `/v1/drivers/{driver}/logs`.
//!
//! Invariant: a reader that is slow is told of what is still kept, and holds no one up.

use super::Shared;
use super::call;
use super::extract::{Asked, At};
use crate::api::refusal::Refusal;
use crate::api::types::{LogLine, Problem};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use mica_engine::{LogFilter, LogReading, Since};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Lines that lie ready for a reader.
const CHANNEL_LINES: usize = 64;

/// Which lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    store: Option<String>,
    layer: Option<String>,
    request: Option<String>,
    since: Option<String>,
    last: Option<usize>,
    #[serde(default)]
    follow: bool,
}

/// Tells what a driver said, on its standard error and output and by `mica:host/log`, and why and where the sandbox ended operations
/// of it, as server-sent events, one JSON object a line.
///
/// The name of an event of the stream is `line`, its id the line's number, to be given as `since`. The last lines of each driver are
/// kept in memory, as many bytes as the limit `driver_log_bytes` says.
#[utoipa::path(get, path = "/v1/drivers/{driver}/logs", operation_id = "read_driver_log", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("store" = Option<String>, Query, description = "Only what is about this store."),
        ("layer" = Option<String>, Query, description = "Only what is about this layer."),
        ("request" = Option<String>, Query, description = "Only what was said for the request of this id."),
        ("since" = Option<String>, Query,
            description = "Begins with what came after the line of this number, or at this time (RFC 3339, UTC); with the oldest line that is kept if absent."),
        ("last" = Option<u64>, Query, description = "Of the lines that are there, only so many of the last."),
        ("follow" = Option<bool>, Query, description = "Whether to wait for what comes: false unless given."),
    ),
    responses(
    (status = 200, description = "The lines.", body = LogLine, content_type = "text/event-stream"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn logs(
    State(shared): State<Shared>,
    At(driver): At<String>,
    Asked(query): Asked<LogQuery>,
) -> Result<impl IntoResponse, Refusal> {
    let LogQuery {
        store,
        layer,
        request,
        since,
        last,
        follow,
    } = query;
    let since: Option<Since> = since.as_deref().map(str::parse).transpose()?;
    let filter = LogFilter {
        store,
        layer,
        request,
    };
    let stop = shared.stop.clone();
    let reading = call(shared, move |engine| {
        engine.drivers().log(&driver, filter, since)
    });
    let reading = reading.await?;
    let (sender, receiver) = mpsc::channel(CHANNEL_LINES);
    tokio::spawn(tell(reading, last, follow, stop, sender));
    let lines = ReceiverStream::new(receiver).map(|line: Arc<LogLine>| {
        let event = Event::default().event("line").id(line.sequence.to_string());
        event.json_data(&*line)
    });
    Ok(Sse::new(lines).keep_alive(KeepAlive::default()))
}

/// Hands lines on until the reader goes, the daemon ends, or there is nothing more to wait for.
async fn tell(
    mut reading: LogReading,
    last: Option<usize>,
    follow: bool,
    mut stop: watch::Receiver<bool>,
    sender: mpsc::Sender<Arc<LogLine>>,
) {
    let mut lines = reading.next_lines();
    if let Some(last) = last {
        lines.drain(..lines.len().saturating_sub(last));
    }
    loop {
        for line in lines {
            let taken = tokio::select! {
                taken = sender.send(line) => taken.is_ok(),
                _stopped = stop.wait_for(|stopped| *stopped) => false,
            };
            if !taken {
                return;
            }
        }
        if !follow {
            return;
        }
        let more = tokio::select! {
            more = reading.wait() => more,
            _stopped = stop.wait_for(|stopped| *stopped) => false,
            () = sender.closed() => false,
        };
        if !more {
            return;
        }
        lines = reading.next_lines();
    }
}
