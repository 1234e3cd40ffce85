//! `/v1/stores`.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::page::PageQuery;
use super::{Answer, Shared, answer, call, made};
use crate::api::body::json;
use crate::api::refusal::RequestError;
use crate::api::types::{Problem, StoreList, StoreRequest, StoreView};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use mica_client::segment;

/// Lists the stores by name, in pages.
#[utoipa::path(get, path = "/v1/stores", operation_id = "list_stores", tag = "stores",
    params(
        ("after" = Option<String>, Query, description = "Begins after this name: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Stores of a page: 1000 unless given, 10000 at most."),
        ("prefix" = Option<String>, Query, description = "Only stores whose names begin so."),
        ("driver" = Option<String>, Query, description = "Only stores of this driver."),
        ("state" = Option<String>, Query, description = "`available` or `unavailable`: only stores that can be used, or that cannot."),
    ),
    responses(
    (status = 200, description = "The page.", body = StoreList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(State(shared): State<Shared>, Asked(page): Asked<PageQuery>) -> Answer {
    let fits: fn(&StoreView) -> bool = match page.state.as_deref() {
        None => |_| true,
        Some("available") => |store| store.unavailable.is_none(),
        Some("unavailable") => |store| store.unavailable.is_some(),
        Some(other) => {
            return Err(RequestError::Invalid(format!(
                "there are no stores in the state `{other}`; give `available` or `unavailable`"
            ))
            .into());
        }
    };
    let mut stores = call(shared, |engine| Ok(engine.stores().list())).await?;
    stores.retain(|store| page.takes_driver(&store.driver) && fits(store));
    let next = page.cut(&mut stores, |store| &store.name);
    answer(StatusCode::OK, &StoreList { stores, next })
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
