//! `/v1/stores/{store}/holds` and `/collect`: what keeps layers, and the removal of those that nothing keeps.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::operations::attended;
use super::{Answer, Shared, answer, call_apart, page};
use crate::api::refusal::RequestError;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{CollectReport, HoldList, Problem};
use axum::extract::State;
use axum::http::StatusCode;
use mica_engine::{CancelToken, CollectRequest, Engine, HoldsRequest, OperationKind};
use serde::Deserialize;

/// Which page of a list of what keeps layers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldQuery {
    after: Option<String>,
    limit: Option<usize>,
    prefix: Option<String>,
    state: Option<String>,
    #[serde(default)]
    sizes: bool,
}

/// Which layers are removed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectQuery {
    #[serde(default)]
    older_than_seconds: u64,
    #[serde(default)]
    dry_run: bool,
}

/// Tells what keeps each layer of a store, in pages: the client that the store is for, snapshots, mounts, layers that are built on it.
///
/// In a store that Docker or containerd has, each layer is kept, because these count references that are not known here.
#[utoipa::path(get, path = "/v1/stores/{store}/holds", operation_id = "list_holds", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("after" = Option<String>, Query, description = "Begins after this id: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Layers of a page: 1000 unless given, 10000 at most."),
        ("prefix" = Option<String>, Query, description = "Only layers whose ids begin so."),
        ("state" = Option<String>, Query, description = "`free` or `held`: only layers that nothing keeps, or that something keeps."),
        ("sizes" = Option<bool>, Query, description = "Whether it is told what layers occupy that nothing keeps."),
    ),
    responses(
    (status = 200, description = "The page.", body = HoldList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(query): Asked<HoldQuery>,
) -> Answer {
    let is_free = match query.state.as_deref() {
        None => None,
        Some("free") => Some(true),
        Some("held") => Some(false),
        Some(other) => {
            return Err(RequestError::Invalid(format!(
                "there are no layers in the state `{other}`; give `free` or `held`"
            ))
            .into());
        }
    };
    let limit = page::limit(query.limit);
    let list = call_apart(shared, CancelOnDrop::default(), move |engine, token| {
        let store = engine.store(&store)?;
        let request = HoldsRequest {
            prefix: query.prefix.unwrap_or_default(),
            after: query.after,
            // One more tells whether there is a next page.
            limit: limit + 1,
            is_free,
            is_measured: query.sizes,
        };
        let mut layers = store.holds(&request, token)?;
        let next = page::end(&mut layers, limit, |layer| layer.id.clone());
        Ok(HoldList { layers, next })
    });
    answer(StatusCode::OK, &list.await?)
}

/// Removes the layers of a store that nothing keeps, the topmost first. A client that goes away ends it.
///
/// A store that Docker or containerd has is refused: 409, `store-served`. What could not be removed is told with the reason.
#[utoipa::path(post, path = "/v1/stores/{store}/collect", operation_id = "collect_layers", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("older_than_seconds" = Option<u64>, Query, description = "Keeps layers that are younger, and those below them."),
        ("dry_run" = Option<bool>, Query, description = "Only tells what would be removed."),
    ),
    responses(
    (status = 200, description = "What was removed, or would be.", body = CollectReport),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn collect(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(query): Asked<CollectQuery>,
) -> Answer {
    let request = CollectRequest {
        older_than_seconds: query.older_than_seconds,
        is_dry_run: query.dry_run,
    };
    let about = store.clone();
    let work =
        move |engine: &Engine, token: &CancelToken| engine.store(&store)?.collect(request, token);
    let report = attended(shared, OperationKind::Collect, (&about, ""), work).await?;
    answer(StatusCode::OK, &report)
}
