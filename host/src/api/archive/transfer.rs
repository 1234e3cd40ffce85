//! Archives between a connection and the engine, both ways.
//!
//! Invariant: a client that goes away ends the operation, whichever way the archive went.

use super::{Fault, Inflating, Wanted, bridge, decode, drain};
use crate::api::dispatch::{dispatch, ended};
use crate::api::refusal::{Refusal, RequestError};
use crate::api::stream::{self, CancelOnDrop, Raw};
use crate::api::types;
use crate::config::ApiLimits;
use axum::body::Body;
use mica_engine::{
    ApplyReport, ArchiveForm, CancelToken, DiffReport, DiffRequest, Engine, Error, LayerView,
    OperationKind, OperationTicket, Report, Sink, Source,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Chunks of 256 KiB that lie ready for a client.
const CHANNEL_CHUNKS: usize = 8;

/// Where an archive goes.
pub(in crate::api) struct Target {
    /// The engine.
    pub(in crate::api) engine: Arc<Engine>,
    /// The store.
    pub(in crate::api) store: String,
    /// The layer.
    pub(in crate::api) id: String,
    /// By whose rules.
    pub(in crate::api) form: ArchiveForm,
    /// Whether the layer is as the client expects.
    pub(in crate::api) expected: Box<dyn Fn(&LayerView) -> bool + Send>,
}

/// Makes a body of the difference between a layer and another, for the operation that was begun as `ticket`. `prepare` may
/// have the sink ask what is wanted.
///
/// # Errors
/// What the engine answers before the first bytes; later errors break the body off.
pub(in crate::api) async fn diff(
    engine: Arc<Engine>,
    store: String,
    request: DiffRequest,
    ticket: OperationTicket,
    prepare: impl FnOnce(Sink) -> Sink,
) -> Result<Body, Refusal> {
    let (sink, chunks) = Sink::channel(CHANNEL_CHUNKS);
    let sink = prepare(sink);
    let cancel = CancelOnDrop::of(&ticket);
    let token = cancel.token();
    let work = move || {
        let written = engine
            .store(&store)
            .and_then(|store| store.diff(&request, sink, token));
        let report = |report: &DiffReport| Some(Report::Diff(report.clone()));
        ticket.end(written, report).map(drop)
    };
    let result = dispatch(work);
    stream::body(Raw, chunks, result, cancel).await
}

/// Applies the archive in a body: see [`take`].
///
/// # Errors
/// What the engine answers; [`RequestError`] where the body itself broke.
pub(in crate::api) async fn apply(
    into: Target,
    wanted: Wanted,
    body: &mut Body,
    idle: Duration,
    limits: &ApiLimits,
) -> Result<ApplyReport, Refusal> {
    let Target {
        engine,
        store,
        id,
        form,
        expected,
    } = into;
    let doing = format!("apply an archive to layer `{id}` in store `{store}`");
    let ticket = engine.begin(OperationKind::Apply, &store, &id);
    let cancel = CancelOnDrop::of(&ticket);
    let work = move |source, token| {
        let layers = engine.layers(&store);
        let applied =
            layers.and_then(|layers| layers.apply_if(&id, &*expected, form, source, token));
        ticket.end(applied, |report| {
            Report::document(&types::ApplyReport::from(report.clone()))
        })
    };
    take(doing, cancel, work, wanted, body, idle, limits).await
}

/// Hands the archive in a body, which may stand still for `idle`, to `work`, until `cancel` is asked for. What is left of the body after an error is taken,
/// within bounds, so that the client comes to read the answer.
///
/// # Errors
/// What the work answers; [`RequestError`] where the body itself broke.
pub(in crate::api) async fn take<T: Send + 'static>(
    doing: String,
    cancel: CancelOnDrop,
    work: impl FnOnce(Source, CancelToken) -> mica_engine::Result<T> + Send + 'static,
    wanted: Wanted,
    body: &mut Body,
    idle: Duration,
    limits: &ApiLimits,
) -> Result<T, Refusal> {
    let (feeder, reader) = bridge(idle);
    let (reader, fault) = decode(reader, wanted, Inflating::Ahead, limits);
    let (token, stopped) = (cancel.token(), cancel.token());
    let mut result = dispatch(move || work(Source::from_pieces(reader), token));
    let outcome = tokio::select! {
        outcome = &mut result => outcome,
        () = feeder.feed(body) => result.await,
        // Whoever waits for more of the body sees its end.
        () = stopped.cancelled() => result.await,
    };
    drain(body).await;
    ended(outcome).map_err(|refusal| better(refusal, &fault, doing))
}

/// The driver learns only that its source broke; what was noted on the way says why.
fn better(refusal: Refusal, fault: &Fault, doing: String) -> Refusal {
    // What the engine knew before it read anything, or about the room, goes first.
    let is_vague = matches!(
        refusal,
        Refusal::Engine(
            Error::Io { .. }
                | Error::InvalidArchive(_)
                | Error::DriverFailed { .. }
                | Error::TimedOut(_)
        )
    );
    let Some(error) = fault.take().filter(|_| is_vague) else {
        return refusal;
    };
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => RequestError::Archive {
            doing,
            reason,
            remedy: None,
        }
        .into(),
        io::ErrorKind::TimedOut | io::ErrorKind::ConnectionAborted => {
            RequestError::BrokeOff(reason).into()
        }
        _ => Refusal::Engine(Error::Io {
            doing,
            source: error,
        }),
    }
}
