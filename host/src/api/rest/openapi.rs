//! `GET /v1/openapi.json`: generated from the handlers.
//!
//! Invariant: made once; a handler that is not listed here is not documented, so the tests compare the list with the
//! routes.

use super::{
    changes, dashboard, described, differences, drivers, events, files, holds, insight, layers,
    look, monitor, mounts, operations, origins, scrub, snapshots, status, stores, swaps, traces,
};
use crate::api::refusal::{Refusal, RequestError};
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use std::sync::OnceLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mica",
        description = "Layered-filesystem drivers as WebAssembly components: stores, layers, mounts and differences."
    ),
    paths(
        status::status, events::events, document, operations::list,
        dashboard::page, dashboard::file,
        monitor::metrics, monitor::healthz, monitor::readyz,
        drivers::list, drivers::load, drivers::judge, drivers::inspect, drivers::release, drivers::remove,
        insight::logs, traces::explain, traces::list, traces::inspect, traces::export,
        swaps::swap, swaps::rollback, swaps::history,
        stores::list, stores::create, stores::inspect, stores::remove, stores::rename, stores::relocate,
        layers::list, layers::create, layers::inspect, layers::remove, layers::look_up,
        mounts::list, mounts::inspect, mounts::mount, mounts::unmount,
        layers::metadata, layers::usage, look::usage, look::processes,
        differences::diff, differences::apply, differences::size, changes::changes, operations::inspect, operations::cancel,
        files::list, files::content, origins::list, holds::list, holds::collect,
        scrub::begin, scrub::status, scrub::verify, scrub::repair, scrub::repair_from_stores,
        snapshots::list, snapshots::inspect, snapshots::usage,
    ),
    tags(
        (name = "daemon", description = "The daemon itself."),
        (name = "drivers", description = "Drivers and their builds."),
        (name = "stores", description = "Stores: a driver with a home."),
        (name = "layers", description = "Layers and their mounts."),
        (name = "differences", description = "What layers differ in."),
        (name = "files", description = "Files of layers, without a mount."),
        (name = "snapshots", description = "What a container runtime holds."),
    )
)]
struct Document;

/// The document as data.
pub(super) fn value() -> serde_json::Value {
    // Without it no query would have a known key.
    let mut document = serde_json::to_value(Document::openapi()).expect("the document is JSON");
    described::complete(&mut document);
    document
}

/// Whether a document that has these fields may have this one, too: by the schemas that know all of them, but for one that whoever asks
/// may have put there.
pub(crate) fn may_have(fields: &[&str], other: &str) -> bool {
    let document = value();
    let schemas = document
        .pointer("/components/schemas")
        .and_then(|all| all.as_object());
    let mut schemas = schemas.into_iter().flat_map(|all| all.values());
    schemas.any(|schema| {
        let known = schema.get("properties").and_then(|all| all.as_object());
        known.is_some_and(|known| {
            let foreign = fields.iter().filter(|field| !known.contains_key(**field));
            known.contains_key(other) && foreign.count() <= 1
        })
    })
}

/// Describes this interface.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "get_openapi", tag = "daemon", responses(
    (status = 200, description = "An OpenAPI document.", body = serde_json::Value),
))]
pub(super) async fn document() -> Result<Response, Refusal> {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = match TEXT.get() {
        Some(text) => text.clone(),
        None => {
            let text = serde_json::to_string_pretty(&value());
            let text = text.map_err(|error| RequestError::Internal(error.to_string()))?;
            TEXT.get_or_init(|| text.into()).clone()
        }
    };
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
