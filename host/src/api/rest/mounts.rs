//! `/v1/stores/{store}/mounts` and `…/layers/{id}/mount`: where layers are mounted, and who holds them.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::operations::tracked;
use super::page::PageQuery;
use super::{Answer, Shared, answer, call};
use crate::api::body::json;
use crate::api::refusal::RequestError;
use crate::api::share::Visitor;
use crate::api::types::{
    MountList, MountRequest, MountView, MountedLayer, Problem, UnmountRequest, UnmountView,
};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use mica_engine::{CancelToken, Engine, OperationKind};

/// Lists the mounts of a store in byte order of the layers' ids, in pages: where each layer is mounted, how often, and by whom where a
/// reference has a name.
#[utoipa::path(get, path = "/v1/stores/{store}/mounts", operation_id = "list_mounts", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("after" = Option<String>, Query, description = "Begins after this layer: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Mounts of a page: 1000 unless given, 10000 at most."),
        ("prefix" = Option<String>, Query, description = "Only layers whose ids begin so."),
        ("state" = Option<String>, Query,
            description = "`held`: only what references hold; `let-go`: only what is attached without a reference; `ended`: only what a \
                process holds that has ended."),
    ),
    responses(
    (status = 200, description = "The page.", body = MountList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let fits: fn(&MountView) -> bool = match page.state.as_deref() {
        None => |_| true,
        Some("held") => |mount| mount.references > 0,
        Some("let-go") => |mount| mount.references == 0,
        Some("ended") => |mount| mount.holders.iter().any(|holder| holder.has_ended),
        Some(other) => {
            return Err(RequestError::Invalid(format!(
                "there are no mounts in the state `{other}`; give `held`, `let-go` or `ended`"
            ))
            .into());
        }
    };
    let list = call(shared, move |engine| {
        let mounts = engine.store(&store)?.mounts().into_iter();
        let mounts = mounts.filter(|(_, mount)| fits(mount));
        let mut mounts: Vec<_> = mounts
            .map(|(layer, mount)| MountedLayer {
                layer: layer.into(),
                mount,
            })
            .collect();
        let next = page.cut(&mut mounts, |mount| &mount.layer);
        Ok(MountList { mounts, next })
    });
    answer(StatusCode::OK, &list.await?)
}

/// Tells where a layer is mounted, and who holds it.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/mount", operation_id = "get_layer_mount", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "The mount.", body = MountView),
    (status = 409, description = "The layer is not mounted.", body = Problem, content_type = "application/problem+json"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let view = call(shared, move |engine| engine.store(&store)?.mounted(&id)).await?;
    answer(StatusCode::OK, &view)
}

/// Mounts a layer and says where. A layer that is mounted already gets one more reference.
///
/// A reference that has a name (`reference`) is taken once, however often it is asked for, and is given back by its name. Bound to a
/// process (`while_pid`), it is given back when that process ends.
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
    Extension(visitor): Extension<Visitor>,
    At((store, id)): At<(String, String)>,
    body: Body,
) -> Answer {
    let empty = Some(MountRequest::default());
    let mut request = json(body, shared.limits.json_bytes, empty).await?;
    // Who holds a reference without a name is not kept.
    if request.reference.is_some() {
        request.client = visitor.client.process();
    }
    let about = (store.clone(), id.clone());
    let mount = move |engine: &Engine, _: &CancelToken| engine.store(&store)?.mount(&id, request);
    let view = tracked(shared, OperationKind::Mount, (&about.0, &about.1), mount).await?;
    answer(StatusCode::OK, &view)
}

/// Gives a reference back; with the last one the layer is unmounted.
///
/// Without a body that is one without a name. With `reference` it is the one of that name, and with `all` every one; then it is no error
/// if there is none.
#[utoipa::path(post, path = "/v1/stores/{store}/layers/{id}/unmount", operation_id = "unmount_layer", tag = "layers",
    request_body = Option<UnmountRequest>,
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
    body: Body,
) -> Answer {
    let empty = Some(UnmountRequest::default());
    let request = json(body, shared.limits.json_bytes, empty).await?;
    let left = call(shared, move |engine| {
        engine.store(&store)?.give_back(&id, &request)
    })
    .await?;
    answer(StatusCode::OK, &left)
}
