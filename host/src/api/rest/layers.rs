//! `/v1/stores/{store}/layers`: layers.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::operations::tracked;
use super::page::{self, PageQuery};
use super::tags::{self, Wanted};
use super::{Answer, Shared, answer, call, call_apart, made};
use crate::api::body::json;
use crate::api::refusal::RequestError;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{
    LayerList, LayerLookup, LayerRequest, LayerView, LookedUp, MetadataView, Pairs, Problem,
    UsageView,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use mica_client::segment;
use mica_engine::{CancelToken, Engine, Error, OperationKind};

/// Lists layers in byte order of their ids, in pages.
#[utoipa::path(get, path = "/v1/stores/{store}/layers", operation_id = "list_layers", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("after" = Option<String>, Query, description = "Begins after this id: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Layers of a page: 1000 unless given, 10000 at most."),
        ("prefix" = Option<String>, Query, description = "Only layers whose ids begin so."),
        ("state" = Option<String>, Query,
            description = "`mounted` or `unmounted`: only layers with or without references to their mounts; `childless`: only those on which \
                nothing is built."),
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
    let fits: fn(&LayerView) -> bool = match page.state.as_deref() {
        None => |_| true,
        Some("mounted") => |layer| layer.mounts > 0,
        Some("unmounted") => |layer| layer.mounts == 0,
        Some("childless") => |layer| layer.children == 0,
        Some(other) => {
            return Err(RequestError::Invalid(format!(
                "there are no layers in the state `{other}`; give `mounted`, `unmounted` or `childless`"
            ))
            .into());
        }
    };
    let limit = page.limit();
    let list = call(shared, move |engine| {
        let store = engine.store(&store)?;
        let prefix = page.prefix.as_deref().unwrap_or_default();
        // One more tells whether there is a next page.
        let mut layers = store.layers_of(prefix, page.after.as_deref(), limit + 1, &fits);
        let next = page::end(&mut layers, limit, |layer| layer.id.clone());
        Ok(LayerList { layers, next })
    });
    answer(StatusCode::OK, &list.await?)
}

/// Layers that one look-up may name.
const MOST_LOOKED_UP: usize = 10_000;

/// Describes many layers at once: those of the ids that are there, in the order in which they were named, and the ids that are not.
#[utoipa::path(post, path = "/v1/stores/{store}/layers:lookup", operation_id = "look_up_layers", tag = "layers", request_body = LayerLookup,
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 200, description = "What there is.", body = LookedUp),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn look_up(
    State(shared): State<Shared>,
    At(store): At<String>,
    body: Body,
) -> Answer {
    let LayerLookup { ids } = json(body, shared.limits.json_bytes, None).await?;
    if ids.len() > MOST_LOOKED_UP {
        let text = format!("`ids` has {}, and may have {MOST_LOOKED_UP}", ids.len());
        return Err(RequestError::Invalid(text).into());
    }
    let found = call(shared, move |engine| {
        let store = engine.store(&store)?;
        let mut found = LookedUp::default();
        for id in ids {
            match store.layer(&id) {
                Ok(layer) => found.layers.push(layer),
                Err(Error::UnknownLayer { .. }) => found.unknown.push(id),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    });
    answer(StatusCode::OK, &found.await?)
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
    let about = (store.clone(), request.id.clone());
    let create = move |engine: &Engine, cancel: &CancelToken| {
        engine.layers(&store)?.create_unless(request, cancel)
    };
    let about = (&*about.0, &*about.1);
    let view = tracked(shared, OperationKind::Create, about, create).await?;
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
    let view = call_apart(shared, CancelOnDrop::default(), move |engine, token| {
        engine.store(&store)?.usage(&id, token)
    });
    answer(StatusCode::OK, &view.await?)
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
    let about = (store.clone(), id.clone());
    let remove = move |engine: &Engine, cancel: &CancelToken| {
        let expected = |layer: &LayerView| wanted.fits(layer);
        engine.layers(&store)?.remove_if(&id, &expected, cancel)
    };
    tracked(shared, OperationKind::Remove, (&about.0, &about.1), remove).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
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
