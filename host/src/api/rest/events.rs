//! `GET /v1/events`.
//!
//! Invariant: a listener that is too slow misses events and sees it by their numbers; it holds no one up.

use super::Shared;
use crate::api::refusal::Refusal;
use crate::api::types::{Event as Happening, Problem};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Events that lie ready for a listener.
const CHANNEL_EVENTS: usize = 64;

/// Tells what happens from now on, one JSON object an event.
///
/// The name of an event of the stream is the event's kind, its id the event's number. The stream ends when the daemon
/// does.
#[utoipa::path(get, path = "/v1/events", tag = "daemon", responses(
    (status = 200, description = "The events.", body = Happening, content_type = "text/event-stream"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn events(State(shared): State<Shared>) -> Result<impl IntoResponse, Refusal> {
    let mut happening = shared.engine.events();
    let mut stop = shared.stop.clone();
    let (sender, receiver) = mpsc::channel(CHANNEL_EVENTS);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = happening.recv() => event,
                _stopped = stop.wait_for(|stopped| *stopped) => return,
                () = sender.closed() => return,
            };
            let event = match event {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            let taken = tokio::select! {
                taken = sender.send(event) => taken.is_ok(),
                _stopped = stop.wait_for(|stopped| *stopped) => false,
            };
            if !taken {
                return;
            }
        }
    });
    let events = ReceiverStream::new(receiver).map(|view| {
        let event = Event::default()
            .event(view.kind.as_str())
            .id(view.sequence.to_string());
        event.json_data(view)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
