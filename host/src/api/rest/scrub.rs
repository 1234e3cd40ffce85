//! `/v1/stores/{store}/scrub`, and of a layer `verify` and `repair`: whether files are what they were.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::operations::attended;
use super::{Answer, Shared, answer, call, differences};
use crate::api::archive::transfer;
use crate::api::refusal::RequestError;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{Problem, RepairView, ScrubView, VerifyView};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use mica_engine::{CancelToken, Engine, OperationKind, Report};
use serde::Deserialize;
use std::sync::Arc;

/// What is to be verified.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScrubQuery {
    layer: Option<String>,
    #[serde(default)]
    action: Action,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    #[default]
    Start,
    Pause,
    Resume,
}

/// Has the layers of a store verified in the background, at once; or lets it rest, or go on.
#[utoipa::path(post, path = "/v1/stores/{store}/scrub", operation_id = "scrub_store", tag = "stores",
    params(
        ("store" = String, Path, description = "The store."),
        ("layer" = Option<String>, Query, description = "Only this layer."),
        ("action" = Option<String>, Query, description = "`start` is the default; `pause` lets the store rest until `resume` or `start`."),
    ),
    responses(
    (status = 202, description = "What is known; it is done once `answered` is what `asked` is here.", body = ScrubView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn begin(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(query): Asked<ScrubQuery>,
) -> Answer {
    if query.layer.is_some() && query.action != Action::Start {
        let text = "a whole store rests or goes on: leave out `layer`";
        return Err(RequestError::Invalid(text.to_owned()).into());
    }
    let view = call(shared, move |engine| {
        let store = engine.store(&store)?;
        match query.action {
            Action::Start => return store.begin_scrub(query.layer.as_deref()),
            Action::Pause => store.pause_scrub(),
            Action::Resume => store.resume_scrub(),
        }
        Ok(store.scrub())
    });
    answer(StatusCode::ACCEPTED, &view.await?)
}

/// Tells what is known of the content of a store's layers: which are damaged, and how far the verification is.
#[utoipa::path(get, path = "/v1/stores/{store}/scrub", operation_id = "get_scrub", tag = "stores",
    params(("store" = String, Path, description = "The store.")),
    responses(
    (status = 200, description = "What is known.", body = ScrubView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn status(State(shared): State<Shared>, At(store): At<String>) -> Answer {
    let view = call(shared, move |engine| Ok(engine.store(&store)?.scrub())).await?;
    answer(StatusCode::OK, &view)
}

/// Compares the files of a layer with the digests that were taken of them, now. A layer that has none gets them. A client that
/// goes away ends it.
#[utoipa::path(post, path = "/v1/stores/{store}/layers/{id}/verify", operation_id = "verify_layer", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "How it was found, damage included.", body = VerifyView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn verify(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let about = (store.clone(), id.clone());
    let work = move |engine: &Engine, token: &CancelToken| engine.store(&store)?.verify(&id, token);
    let view = attended(shared, OperationKind::Verify, (&about.0, &about.1), work).await?;
    answer(StatusCode::OK, &view)
}

/// Makes a damaged layer of its archive again. Anything else than what its digests say is refused, and the layer stays.
///
/// Compression by gzip or zstd is found by the first bytes, or told by `Content-Encoding`.
#[utoipa::path(put, path = "/v1/stores/{store}/layers/{id}/repair", operation_id = "repair_layer", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    request_body(content = Vec<u8>, content_type = "application/x-tar", description = "The archive."),
    responses(
    (status = 200, description = "It is what it was.", body = RepairView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn repair(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    headers: HeaderMap,
    mut body: Body,
) -> Answer {
    let wanted = differences::told(&headers)?;
    let idle = shared.runtime.limits().stream_idle();
    let doing = format!("repair layer `{id}` in store `{store}`");
    let engine = Arc::clone(&shared.engine);
    let ticket = engine.begin(OperationKind::Repair, &store, &id);
    let cancel = CancelOnDrop::of(&ticket);
    let work = move |source, token| {
        let layers = engine.store(&store);
        let repaired = layers.and_then(|store| store.repair(&id, source, token));
        ticket.end(repaired, Report::document)
    };
    let view = transfer::take(doing, cancel, work, wanted, &mut body, idle, &shared.limits).await?;
    answer(StatusCode::OK, &view)
}

/// Makes a damaged layer again of the same archive, if another store has it, or of the blob that containerd had unpacked here, if that is
/// still in its content store.
#[utoipa::path(post, path = "/v1/stores/{store}/layers/{id}/repair", operation_id = "repair_layer_from_stores", tag = "layers",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
    ),
    responses(
    (status = 200, description = "It is what it was.", body = RepairView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn repair_from_stores(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
) -> Answer {
    let about = (store.clone(), id.clone());
    let work = move |engine: &Engine, token: &CancelToken| {
        engine.store(&store)?.repair_from_stores(&id, token.clone())
    };
    let view = attended(shared, OperationKind::Repair, (&about.0, &about.1), work).await?;
    answer(StatusCode::OK, &view)
}
