//! `/v1/stores`.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::operations::attended;
use super::page::PageQuery;
use super::{Answer, Shared, answer, call, made};
use crate::api::body::json;
use crate::api::refusal::RequestError;
use crate::api::types::{
    MoveBody, MoveReport, Problem, RenameRequest, StoreList, StoreRequest, StoreView,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use mica_client::segment;
use mica_engine::{CancelToken, Engine, MoveRequest, OperationKind};
use serde::Deserialize;

/// How a store is moved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveQuery {
    #[serde(default)]
    dry_run: bool,
}

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

/// Gives a store another name. It keeps its layers and all else.
///
/// Refused while layers are mounted or operations run in it, and for a store that Docker or containerd has: 409.
#[utoipa::path(post, path = "/v1/stores/{store}/rename", operation_id = "rename_store", tag = "stores", request_body = RenameRequest,
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 200, description = "The store, with its new name.", body = StoreView,
        headers(("Location" = String, description = "Where it is from now on."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn rename(
    State(shared): State<Shared>,
    At(store): At<String>,
    body: Body,
) -> Answer {
    let RenameRequest { name } = json(body, shared.limits.json_bytes, None).await?;
    let view = call(shared, move |engine| engine.stores().rename(&store, &name)).await?;
    let mut answer = answer(StatusCode::OK, &view)?;
    let place = HeaderValue::from_str(&format!("/v1/stores/{}", segment(&view.name)))
        .map_err(|error| RequestError::Internal(error.to_string()))?;
    answer.headers_mut().insert(header::LOCATION, place);
    Ok(answer)
}

/// Moves a store with all its layers into another directory, on another file system for instance, or back below the daemon's root.
///
/// Everything is copied, compared with the original and synced; then the store is switched over in one step, opened, and the original
/// removed. Meanwhile the store cannot be used, and `work_bytes` and `done_bytes` of `GET /v1/operations` tell how far it is. A client that
/// goes away ends it, and the store stays where it was. Refused as a change of name is: 409.
#[utoipa::path(post, path = "/v1/stores/{store}/move", operation_id = "move_store", tag = "stores", request_body = MoveBody,
    params(
        ("store" = String, Path, description = "The store."),
        ("dry_run" = Option<bool>, Query, description = "Only tells what would be moved, and what is in the way."),
    ),
    responses(
    (status = 200, description = "It has moved, or would.", body = MoveReport),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn relocate(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(query): Asked<MoveQuery>,
    body: Body,
) -> Answer {
    let MoveBody { to } = json(body, shared.limits.json_bytes, Some(MoveBody::default())).await?;
    let request = MoveRequest {
        to: to.map(Into::into),
        is_dry_run: query.dry_run,
    };
    let about = store.clone();
    let work = move |engine: &Engine, token: &CancelToken| {
        engine.stores().relocate(&store, &request, token)
    };
    let report = attended(shared, OperationKind::Move, (&about, ""), work).await?;
    answer(StatusCode::OK, &report)
}
