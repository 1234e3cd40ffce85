//! `/v1/stores/{store}/usage` and `/processes`: what is told of many layers at once.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::{Answer, Shared, answer, call, call_apart};
use crate::api::refusal::RequestError;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{Problem, ProcessList, UsageList};
use axum::extract::State;
use axum::http::StatusCode;

/// Layers that one request may ask about: what fits on a screen, with what lies below.
const MOST_LAYERS: usize = 100;

/// Tells what each of several layers occupies beyond its parent, in the order of the query. One that cannot be measured, or is gone, is
/// told with the reason. A client that goes away ends the counting.
#[utoipa::path(get, path = "/v1/stores/{store}/usage", operation_id = "get_layer_usages", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("layer" = Vec<String>, Query, description = "The layers: the key as often as there are layers, 100 times at most."),
    ),
    responses(
    (status = 200, description = "What they occupy.", body = UsageList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn usage(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(keys): Asked<Vec<(String, String)>>,
) -> Answer {
    // No other key is known here.
    let ids: Vec<_> = keys.into_iter().map(|(_, id)| id).collect();
    if !(1..=MOST_LAYERS).contains(&ids.len()) {
        let text = format!(
            "the query names {} layers; name 1 to {MOST_LAYERS} as `layer=ID&layer=ID`",
            ids.len()
        );
        return Err(RequestError::Invalid(text).into());
    }
    let layers = call_apart(shared, CancelOnDrop::default(), move |engine, token| {
        engine.store(&store)?.usages(&ids, token)
    })
    .await?;
    answer(StatusCode::OK, &UsageList { layers })
}

/// Lists the processes that use mounted layers, which is why a layer cannot be unmounted: those whose root is the mount, and of those
/// that have files of it open whom the daemon may see; in byte order of the layers' ids, at most 16 of each.
#[utoipa::path(get, path = "/v1/stores/{store}/processes", operation_id = "list_processes", tag = "layers",
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 200, description = "The processes.", body = ProcessList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn processes(State(shared): State<Shared>, At(store): At<String>) -> Answer {
    let processes = call(shared, move |engine| engine.store(&store)?.processes()).await?;
    answer(StatusCode::OK, &ProcessList { processes })
}
