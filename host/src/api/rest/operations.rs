//! `GET /v1/operations`: what runs; `/v1/operations/{operation}`: what came of an operation, and how it is cancelled.
//!
//! Invariant: asking changes nothing.

use super::extract::{Asked, At};
use super::{Answer, Shared, answer, call, call_apart, page};
use crate::api::refusal::{Refusal, RequestError};
use crate::api::stream::CancelOnDrop;
use crate::api::types::{CallView, OperationList, OperationView, Problem};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use mica_engine::{
    CancelToken, ClientCall, Engine, OperationKind, OperationState, OperationTicket, Report,
    Result as EngineResult,
};
use serde::{Deserialize, Serialize};

/// The header of a stream that says by which id to ask.
const HEADER: HeaderName = HeaderName::from_static("mica-operation");

/// The header for an operation.
pub(super) fn header(ticket: &OperationTicket) -> Result<(HeaderName, HeaderValue), RequestError> {
    let value = HeaderValue::from_str(ticket.id());
    let value = value.map_err(|error| RequestError::Internal(error.to_string()))?;
    Ok((HEADER, value))
}

/// Which page of what runs, and what of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunningQuery {
    after: Option<u64>,
    limit: Option<usize>,
    front_end: Option<String>,
    operation: Option<String>,
    store: Option<String>,
    layer: Option<String>,
    driver: Option<String>,
}

impl RunningQuery {
    fn fits(&self, call: &CallView) -> bool {
        let is_asked = |asked: &Option<String>, told: Option<&str>| {
            asked.as_deref().is_none_or(|asked| told == Some(asked))
        };
        is_asked(&self.front_end, Some(&call.front_end))
            && is_asked(&self.operation, Some(&call.operation))
            && is_asked(&self.store, call.store.as_deref())
            && is_asked(&self.layer, call.layer.as_deref())
            && is_asked(&self.driver, call.driver.as_deref())
            && self.after.is_none_or(|after| call.number > after)
    }
}

/// Lists the requests that are being answered, the oldest first, in pages: those of REST, of Docker and of containerd. This one is left out.
#[utoipa::path(get, path = "/v1/operations", operation_id = "list_operations", tag = "daemon",
    params(
        ("after" = Option<u64>, Query, description = "Begins after the request of this number: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Requests of a page: 1000 unless given, 10000 at most."),
        ("front_end" = Option<String>, Query, description = "Only requests that came by this door: `rest`, `docker` or `containerd`."),
        ("operation" = Option<String>, Query, description = "Only requests that do this."),
        ("store" = Option<String>, Query, description = "Only requests about this store."),
        ("layer" = Option<String>, Query, description = "Only requests about this layer."),
        ("driver" = Option<String>, Query, description = "Only requests for which this driver works."),
    ),
    responses(
    (status = 200, description = "What runs.", body = OperationList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asked(query): Asked<RunningQuery>,
) -> Answer {
    if query
        .after
        .is_some_and(|after| i64::try_from(after).is_err())
    {
        let text = "the query's `after` is more than any request's number";
        return Err(RequestError::Invalid(text.to_owned()).into());
    }
    let own = ClientCall::current_id();
    let mut operations = shared.engine.calls().running();
    let is_own = |view: &CallView| {
        own.as_deref() == Some(&view.request) && view.operation == "list_operations"
    };
    operations.retain(|view| !is_own(view) && query.fits(view));
    let limit = page::limit(query.limit);
    let next = page::end(&mut operations, limit, |view| view.number);
    answer(StatusCode::OK, &OperationList { operations, next })
}

/// Tells how an operation stands: what came of a change, what an archive does not hold, or why a stream broke off.
///
/// Operations are those that create, remove, mount, verify, repair or apply to a layer, those that answer with a stream of a layer, those that
/// move a store, and those that load, swap or roll back a driver. The last 1024 that ended are known, until the daemon ends.
#[utoipa::path(get, path = "/v1/operations/{operation}", operation_id = "get_operation", tag = "differences",
    params(("operation" = String, Path,
        description = "The id: the header `Mica-Operation` of the answer, or the id of the request (`x-request-id`).")),
    responses(
    (status = 200, description = "How it stands.", body = OperationView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(State(shared): State<Shared>, At(id): At<String>) -> Answer {
    let view = shared.engine.operation(&id);
    let view = view.ok_or(RequestError::UnknownOperation(id))?;
    answer(StatusCode::OK, &OperationView::from(view))
}

/// Asks an operation to end, and does not wait for that.
///
/// Its own client is answered with the problem `cancelled`, if the operation is not done before. One that has ended stays as it is.
#[utoipa::path(delete, path = "/v1/operations/{operation}", operation_id = "cancel_operation", tag = "differences",
    params(("operation" = String, Path,
        description = "The id: the header `Mica-Operation` of the answer, or the id of the request (`x-request-id`).")),
    responses(
    (status = 200, description = "It has ended, and how.", body = OperationView),
    (status = 202, description = "It was asked to end, and has not ended.", body = OperationView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn cancel(State(shared): State<Shared>, At(id): At<String>) -> Answer {
    let view = shared.engine.cancel(&id);
    let view = view.ok_or(RequestError::UnknownOperation(id))?;
    let status = match view.state {
        OperationState::Running => StatusCode::ACCEPTED,
        OperationState::Done(_) | OperationState::Failed { .. } => StatusCode::OK,
    };
    answer(status, &OperationView::from(view))
}

/// Has the engine do what can be asked for and cancelled meanwhile, whether its client stays or goes.
pub(super) async fn tracked<T: Serialize + Send + 'static>(
    shared: Shared,
    kind: OperationKind,
    (store, layer): (&str, &str),
    work: impl FnOnce(&Engine, &CancelToken) -> EngineResult<T> + Send + 'static,
) -> Result<T, Refusal> {
    let ticket = shared.engine.begin(kind, store, layer);
    let token = ticket.token();
    let work = noted(ticket, work);
    call(shared, |engine| work(engine, &token)).await
}

/// As [`tracked`], for what ends when its client goes away; one with a key ends only when it is cancelled.
pub(super) async fn attended<T: Serialize + Send + 'static>(
    shared: Shared,
    kind: OperationKind,
    (store, object): (&str, &str),
    work: impl FnOnce(&Engine, &CancelToken) -> EngineResult<T> + Send + 'static,
) -> Result<T, Refusal> {
    let ticket = shared.engine.begin(kind, store, object);
    let cancel = CancelOnDrop::of(&ticket);
    call_apart(shared, cancel, noted(ticket, work)).await
}

/// What has the engine do it, and notes what came of it.
fn noted<T: Serialize>(
    ticket: OperationTicket,
    work: impl FnOnce(&Engine, &CancelToken) -> EngineResult<T>,
) -> impl FnOnce(&Engine, &CancelToken) -> EngineResult<T> {
    move |engine, token| {
        let done = work(engine, token);
        ticket.end(done, |done| Report::document(done))
    }
}
