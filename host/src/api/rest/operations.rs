//! `GET /v1/operations`: what runs; `GET /v1/operations/{operation}`: what came of an operation whose answer was a stream.
//!
//! Invariant: asking changes nothing.

use super::extract::At;
use super::{Answer, Shared, answer};
use crate::api::refusal::RequestError;
use crate::api::types::{CallView, OperationList, OperationView, Problem};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use mica_engine::{ClientCall, OperationTicket};

/// The header of a stream that says by which id to ask.
const HEADER: HeaderName = HeaderName::from_static("mica-operation");

/// The header for an operation.
pub(super) fn header(ticket: &OperationTicket) -> Result<(HeaderName, HeaderValue), RequestError> {
    let value = HeaderValue::from_str(ticket.id());
    let value = value.map_err(|error| RequestError::Internal(error.to_string()))?;
    Ok((HEADER, value))
}

/// Lists the requests that are being answered, the oldest first: those of REST, of Docker and of containerd. This one is left out.
#[utoipa::path(get, path = "/v1/operations", operation_id = "list_operations", tag = "daemon", responses(
    (status = 200, description = "What runs.", body = OperationList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(State(shared): State<Shared>) -> Answer {
    let own = ClientCall::current_id();
    let mut operations = shared.engine.calls().running();
    let is_own = |view: &CallView| {
        own.as_deref() == Some(&view.request) && view.operation == "list_operations"
    };
    operations.retain(|view| !is_own(view));
    answer(StatusCode::OK, &OperationList { operations })
}

/// Tells how an operation stands whose answer was a stream: what an archive does not hold, or why it broke off.
///
/// The last 256 operations that ended are known, until the daemon ends.
#[utoipa::path(get, path = "/v1/operations/{operation}", operation_id = "get_operation", tag = "differences",
    params(("operation" = String, Path, description = "The id: the header `Mica-Operation` of the answer.")),
    responses(
    (status = 200, description = "How it stands.", body = OperationView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(State(shared): State<Shared>, At(id): At<String>) -> Answer {
    let view = shared.engine.operation(&id);
    let view = view.ok_or(RequestError::UnknownOperation(id))?;
    answer(StatusCode::OK, &OperationView::from(view))
}
