//! What drivers did: `/v1/drivers/{driver}/traces`, and what an operator wants to know of a driver.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::{Answer, Shared, answer, call};
use crate::api::types::{DriverExplanation, Problem, TraceDocument, TraceList};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use mica_engine::{TraceFilter, TracePart};
use serde::Deserialize;

/// Which operations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceQuery {
    store: Option<String>,
    layer: Option<String>,
    request: Option<String>,
    #[serde(default)]
    failed: bool,
}

/// Which operation of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberQuery {
    number: Option<u64>,
}

/// Which operation of a request, and what of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuery {
    number: Option<u64>,
    #[serde(default = "yes")]
    component: bool,
}

fn yes() -> bool {
    true
}

/// Tells all that is known of a driver: where its build is from, what it imports and which grant each import needs, its limits, stores,
/// faults, and what is recorded of it.
#[utoipa::path(get, path = "/v1/drivers/{driver}/explanation", operation_id = "explain_driver", tag = "drivers",
    params(("driver" = String, Path, description = "The driver.")),
    responses(
    (status = 200, description = "What is known.", body = DriverExplanation),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn explain(State(shared): State<Shared>, At(driver): At<String>) -> Answer {
    let view = call(shared, move |engine| engine.drivers().explain(&driver)).await?;
    answer(StatusCode::OK, &view)
}

/// Lists the operations of a driver that are recorded with their host calls, the last first.
///
/// They are kept in memory, as many bytes as the limit `driver_trace_bytes` says: half for operations that failed, half for the others.
#[utoipa::path(get, path = "/v1/drivers/{driver}/traces", operation_id = "list_traces", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("store" = Option<String>, Query, description = "Only what is about this store."),
        ("layer" = Option<String>, Query, description = "Only what is about this layer."),
        ("request" = Option<String>, Query, description = "Only operations that the request of this id needed."),
        ("failed" = Option<bool>, Query, description = "Only operations that failed."),
    ),
    responses(
    (status = 200, description = "The operations.", body = TraceList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At(driver): At<String>,
    Asked(query): Asked<TraceQuery>,
) -> Answer {
    let filter = TraceFilter {
        store: query.store,
        layer: query.layer,
        request: query.request,
        only_failed: query.failed,
    };
    let traces = call(shared, move |engine| {
        engine.drivers().traces(&driver, &filter)
    });
    let traces = traces.await?;
    answer(StatusCode::OK, &TraceList { traces })
}

/// Tells the host calls of an operation that a request needed, with their arguments and answers.
#[utoipa::path(get, path = "/v1/drivers/{driver}/traces/{request}", operation_id = "get_trace", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("request" = String, Path, description = "The id of the request; `-` for the daemon's own work."),
        ("number" = Option<u64>, Query,
            description = "The number of the operation; the last one of the request that failed, or else the last one, if absent."),
    ),
    responses(
    (status = 200, description = "The operation.", body = TraceDocument),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(
    State(shared): State<Shared>,
    At((driver, request)): At<(String, String)>,
    Asked(query): Asked<NumberQuery>,
) -> Answer {
    let document = call(shared, move |engine| {
        engine.drivers().trace(&driver, &request, query.number)
    });
    answer(StatusCode::OK, &document.await?)
}

/// Gives an operation that a request needed as a file, which `mica driver replay` runs again. It holds names from layers.
#[utoipa::path(get, path = "/v1/drivers/{driver}/traces/{request}/file", operation_id = "export_trace", tag = "drivers",
    params(
        ("driver" = String, Path, description = "The driver."),
        ("request" = String, Path, description = "The id of the request; `-` for the daemon's own work."),
        ("number" = Option<u64>, Query, description = "As for the operation itself."),
        ("component" = Option<bool>, Query, description = "Whether the component that ran is in the file, if it is still kept: true unless given."),
    ),
    responses(
    (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn export(
    State(shared): State<Shared>,
    At((driver, request)): At<(String, String)>,
    Asked(query): Asked<FileQuery>,
) -> Answer {
    let part = match query.component {
        true => TracePart::All,
        false => TracePart::Calls,
    };
    let file = call(shared, move |engine| {
        let drivers = engine.drivers();
        drivers.export_trace(&driver, (&request, query.number), part)
    });
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind)], file.await?).into_response())
}
