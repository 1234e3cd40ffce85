//! `GET /v1/stores/{store}/layers/{id}/origins`: which layer of a chain each file comes from.
//!
//! Invariant: the list streams; nothing of it is held in memory.

use super::extract::At;
use super::files::lines;
use super::{Answer, Shared};
use crate::api::types::{OriginView, Problem};
use axum::extract::State;
use mica_engine::OperationKind;

/// Tells what each layer of a chain does: which paths it adds, changes and deletes, the lowest layer first.
///
/// A path that several layers have comes several times; what an upper layer changes or deletes hides what lower ones have there, and below
/// it if that was a directory. Works also while the layer is mounted, and takes no reference. An error after the first bytes breaks the body
/// off; `GET /v1/operations/{operation}` then says why.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/origins", operation_id = "list_layer_origins", tag = "files",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The topmost layer of the chain, percent-encoded."),
    ),
    responses(
    (status = 200, description = "What the layers do, one JSON document a line.", body = OriginView, content_type = "application/x-ndjson",
        headers(("Mica-Operation" = String, description = "By what to ask `/v1/operations/{operation}`."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let ticket = shared.engine.begin(OperationKind::Origins, &store, &id);
    lines::<OriginView>(shared, ticket, move |engine, page, token| {
        engine.store(&store)?.origins(&id, page, token)
    })
    .await
}
