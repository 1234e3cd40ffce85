//! `/v1/stores`.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::At;
use super::{Answer, Shared, answer, call, made};
use crate::api::body::json;
use crate::api::types::{Problem, StoreList, StoreRequest, StoreView};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use mica_client::segment;

/// Lists the stores.
#[utoipa::path(get, path = "/v1/stores", operation_id = "list_stores", tag = "stores", responses(
    (status = 200, description = "All stores, by name.", body = StoreList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(State(shared): State<Shared>) -> Answer {
    let stores = call(shared, |engine| Ok(engine.stores().list())).await?;
    answer(StatusCode::OK, &StoreList { stores })
}

/// Makes a store: a home on disk, served by a driver.
#[utoipa::path(post, path = "/v1/stores", operation_id = "create_store", tag = "stores", request_body = StoreRequest, responses(
    (status = 201, description = "The new store.", body = StoreView,
        headers(("Location" = String, description = "Where it is from now on."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(State(shared): State<Shared>, body: Body) -> Answer {
    let request: StoreRequest = json(body, shared.limits.json_bytes, None).await?;
    let view = call(shared, |engine| engine.stores().create(request)).await?;
    made(&format!("/v1/stores/{}", segment(&view.name)), &view)
}

/// Describes a store, with what its driver says of its state.
#[utoipa::path(get, path = "/v1/stores/{store}", operation_id = "get_store", tag = "stores",
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 200, description = "The store.", body = StoreView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(State(shared): State<Shared>, At(store): At<String>) -> Answer {
    let view = call(shared, move |engine| engine.store(&store)?.describe()).await?;
    answer(StatusCode::OK, &view)
}

/// Removes a store that has no layers.
#[utoipa::path(delete, path = "/v1/stores/{store}", operation_id = "remove_store", tag = "stores",
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 204, description = "It is gone."),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn remove(State(shared): State<Shared>, At(store): At<String>) -> Answer {
    call(shared, move |engine| engine.stores().remove(&store)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
