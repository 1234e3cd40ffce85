//! `/v1/stores/{store}/layers`: layers and their mounts.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::page::PageQuery;
use super::tags::{self, Wanted};
use super::{Answer, Shared, answer, call, made};
use crate::api::body::json;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{
    LayerList, LayerRequest, LayerView, MetadataView, MountRequest, MountView, Pairs, Problem,
    UnmountView, UsageView,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use mica_client::segment;
use mica_engine::WhenBusy;

/// Lists layers in byte order of their ids, in pages.
#[utoipa::path(get, path = "/v1/stores/{store}/layers", operation_id = "list_layers", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("after" = Option<String>, Query, description = "Begins after this id: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Layers of a page: 1000 unless given, 10000 at most."),
    ),
    responses(
    (status = 200, description = "The page.", body = LayerList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let limit = page.limit();
    let list = call(shared, move |engine| {
        // One more tells whether there is a next page.
        let store = engine.store(&store)?;
        let mut layers = store.layers(page.after.as_deref(), limit + 1);
        let is_last = layers.len() <= limit;
        layers.truncate(limit);
        let next = layers
            .last()
            .filter(|_| !is_last)
            .map(|layer| layer.id.clone());
        Ok(LayerList { layers, next })
    });
    answer(StatusCode::OK, &list.await?)
}

/// Creates a layer of the content of its parent, or an empty one.
#[utoipa::path(post, path = "/v1/stores/{store}/layers", operation_id = "create_layer", tag = "layers", request_body = LayerRequest,
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 201, description = "The new layer.", body = LayerView,
        headers(("Location" = String, description = "Where it is from now on."),
            ("ETag" = String, description = "What the layer is now, for `If-Match` and `If-None-Match`."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(
    State(shared): State<Shared>,
    At(store): At<String>,
    body: Body,
) -> Answer {
    let request: LayerRequest = json(body, shared.limits.json_bytes, None).await?;
    let view = call(shared, move |engine| engine.layers(&store)?.create(request)).await?;
    let (store, id) = (segment(&view.store), segment(&view.id));
    let mut answer = made(&format!("/v1/stores/{store}/layers/{id}"), &view)?;
    let (name, tag) = tags::header(&view)?;
    answer.headers_mut().insert(name, tag);
    Ok(answer)
}

/// Describes a layer.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}", operation_id = "get_layer", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("If-None-Match" = Option<String>, Header, description = "A tag that the client has the layer of: 304 if it is still that."),
    ),
    responses(
    (status = 200, description = "The layer.", body = LayerView,
        headers(("ETag" = String, description = "What the layer is now, for `If-Match` and `If-None-Match`."))),
    (status = 304, description = "It is as the client knows it."),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let view = call(shared, move |engine| engine.store(&store)?.layer(&id)).await?;
    let tag = tags::header(&view)?;
    if tags::is_known(&headers, &view)? {
        return Ok((StatusCode::NOT_MODIFIED, [tag]).into_response());
    }
    let mut answer = answer(StatusCode::OK, &view)?;
    answer.headers_mut().insert(tag.0, tag.1);
    Ok(answer)
}

/// Tells what a layer occupies beyond its parent; a client that goes away ends the counting.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/usage", operation_id = "get_layer_usage", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "What it occupies.", body = UsageView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn usage(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let cancel = CancelOnDrop::default();
    let token = cancel.token();
    let view = call(shared, move |engine| {
        engine.store(&store)?.usage(&id, &token)
    })
    .await?;
    drop(cancel);
    answer(StatusCode::OK, &view)
}

/// Removes a layer that has no children and is not mounted.
#[utoipa::path(delete, path = "/v1/stores/{store}/layers/{id}", operation_id = "remove_layer", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("If-Match" = Option<String>, Header, description = "Tags of which the layer must have one: 412 if it has changed."),
    ),
    responses(
    (status = 204, description = "It is gone."),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn remove(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let wanted = Wanted::read(&headers)?;
    call(shared, move |engine| {
        let expected = |layer: &LayerView| wanted.fits(layer);
        engine.layers(&store)?.remove_if(&id, &expected)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Mounts a layer and says where. A layer that is mounted already gets one more reference.
#[utoipa::path(post, path = "/v1/stores/{store}/layers/{id}/mount", operation_id = "mount_layer", tag = "layers", request_body = MountRequest,
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "The mount.", body = MountView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn mount(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    body: Body,
) -> Answer {
    let request = json(
        body,
        shared.limits.json_bytes,
        Some(MountRequest::default()),
    )
    .await?;
    let view = call(shared, move |engine| {
        engine.store(&store)?.mount(&id, request)
    })
    .await?;
    answer(StatusCode::OK, &view)
}

/// Gives one reference back; with the last one the layer is unmounted.
#[utoipa::path(post, path = "/v1/stores/{store}/layers/{id}/unmount", operation_id = "unmount_layer", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "What is left.", body = UnmountView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn unmount(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let left = call(shared, move |engine| {
        engine.store(&store)?.unmount(&id, WhenBusy::Hold)
    })
    .await?;
    answer(StatusCode::OK, &left)
}

/// Tells what the driver knows of a layer, in the driver's order.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/metadata", operation_id = "get_layer_metadata", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "Keys and values.", body = MetadataView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metadata(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let told = call(shared, move |engine| engine.store(&store)?.metadata(&id)).await?;
    let metadata = Pairs(told);
    answer(StatusCode::OK, &MetadataView { metadata })
}
