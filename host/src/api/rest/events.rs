//! `GET /v1/events`.
//!
//! Invariant: a listener that is slow is told of what is still kept, and sees by the numbers what is not; it holds no one up.

use super::Shared;
use super::extract::Asked;
use crate::api::refusal::{Refusal, RequestError};
use crate::api::types::{Event as Happening, Problem};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use mica_engine::{Engine, EventKind, Hearing, Since};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, Weak};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Events that lie ready for a listener.
const CHANNEL_EVENTS: usize = 64;

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    since: Option<String>,
    #[serde(default = "yes")]
    follow: bool,
    kind: Option<String>,
    store: Option<String>,
    layer: Option<String>,
    driver: Option<String>,
}

fn yes() -> bool {
    true
}

impl EventQuery {
    /// Refuses kinds that there are not, because they would be waited for in vain.
    fn check(&self) -> Result<(), RequestError> {
        let is_group = |word: &str| matches!(word, "layer" | "store" | "driver");
        let is_kind = |word: &str| {
            serde_json::from_value::<EventKind>(Value::String(word.to_owned())).is_ok()
        };
        let kinds = self.kind.iter().flat_map(|kinds| kinds.split(','));
        match kinds
            .into_iter()
            .find(|word| !is_group(word) && !is_kind(word))
        {
            None => Ok(()),
            Some(unknown) => Err(RequestError::Invalid(format!(
                "there are no events of the kind `{unknown}`; give kinds such as `layer.created`, or `layer`, `store`, `driver`"
            ))),
        }
    }

    fn fits(&self, event: &Happening) -> bool {
        let kind = event.kind.as_str();
        let group = kind.split('.').next().unwrap_or_default();
        let fits = |asked: &Option<String>, told: &Option<String>| asked.is_none() || asked == told;
        self.kind
            .as_ref()
            .is_none_or(|kinds| kinds.split(',').any(|word| word == kind || word == group))
            && fits(&self.store, &event.store)
            && fits(&self.layer, &event.layer)
            && fits(&self.driver, &event.driver)
    }
}

/// Tells what happens, as server-sent events, one JSON object an event.
///
/// The name of an event of the stream is the event's kind, its id what to give as `since` or in the header `Last-Event-ID` to hear
/// what came after it. The last 4096 events of this daemon are kept for that; a gap shows in the numbers. The stream ends when the
/// daemon does.
#[utoipa::path(get, path = "/v1/events", operation_id = "follow_events", tag = "daemon",
    params(
        ("since" = Option<String>, Query,
            description = "Begins with what came after this event (its id or number), or at this time (RFC 3339, UTC); now if absent."),
        ("follow" = Option<bool>, Query, description = "Whether to wait for what comes: true unless given."),
        ("kind" = Option<String>, Query,
            description = "Only these kinds, separated by commas; `layer`, `store` and `driver` stand for all of theirs."),
        ("store" = Option<String>, Query, description = "Only what is about this store."),
        ("layer" = Option<String>, Query, description = "Only what is about this layer."),
        ("driver" = Option<String>, Query, description = "Only what is about this driver."),
        ("Last-Event-ID" = Option<String>, Header, description = "As `since`, which goes before it; browsers send it by themselves."),
    ),
    responses(
    (status = 200, description = "The events.", body = Happening, content_type = "text/event-stream"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn events(
    State(shared): State<Shared>,
    Asked(query): Asked<EventQuery>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    query.check()?;
    let last = headers.get("last-event-id").map(|id| id.to_str());
    let last = last.transpose().map_err(|error| {
        RequestError::Invalid(format!("the header `Last-Event-ID` is no text: {error}"))
    })?;
    let since = match query.since.as_deref().or(last) {
        Some(text) => text.parse()?,
        None => Since::Now,
    };
    let hearing = shared.engine.events(since);
    let (sender, receiver) = mpsc::channel(CHANNEL_EVENTS);
    let engine = Arc::downgrade(&shared.engine);
    tokio::spawn(tell(engine, hearing, query, shared.stop.clone(), sender));
    let events = ReceiverStream::new(receiver).map(|(id, view): (String, Arc<Happening>)| {
        let event = Event::default().event(view.kind.as_str()).id(id);
        event.json_data(&*view)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Hands on what fits, until the listener goes, the daemon ends, or there is nothing more to wait for.
async fn tell(
    engine: Weak<Engine>,
    mut hearing: Hearing,
    query: EventQuery,
    mut stop: watch::Receiver<bool>,
    sender: mpsc::Sender<(String, Arc<Happening>)>,
) {
    let mut told = std::mem::take(&mut hearing.told).into_iter();
    let mut last = None;
    loop {
        let event = match told.next() {
            Some(event) => Ok(event),
            None if !query.follow => return,
            None => tokio::select! {
                event = hearing.coming.recv() => event,
                _stopped = stop.wait_for(|stopped| *stopped) => return,
                () = sender.closed() => return,
            },
        };
        let event = match event {
            Ok(event) => event,
            Err(RecvError::Closed) => return,
            // It took long over those that came before. Most of what it missed is kept.
            Err(RecvError::Lagged(_)) => {
                let (Some(engine), Some(last)) = (engine.upgrade(), last) else {
                    continue;
                };
                hearing = engine.events(hearing.after(last));
                told = std::mem::take(&mut hearing.told).into_iter();
                continue;
            }
        };
        last = Some(event.sequence);
        if !query.fits(&event) {
            continue;
        }
        let id = hearing.id(&event);
        let taken = tokio::select! {
            taken = sender.send((id, event)) => taken.is_ok(),
            _stopped = stop.wait_for(|stopped| *stopped) => false,
        };
        if !taken {
            return;
        }
    }
}
