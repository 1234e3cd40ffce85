//! `/v1/stores/{store}/snapshots`: what a container runtime holds. Only the runtime changes it.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::page::PageQuery;
use super::{Answer, Shared, answer, call, call_apart};
use crate::api::refusal::RequestError;
use crate::api::stream::CancelOnDrop;
use crate::api::types::{Problem, SnapshotList, SnapshotUsage, SnapshotView};
use axum::extract::State;
use axum::http::StatusCode;
use mica_engine::SnapshotKind;

/// Lists snapshots in byte order of their keys, in pages.
#[utoipa::path(get, path = "/v1/stores/{store}/snapshots", operation_id = "list_snapshots", tag = "snapshots",
    params(
        ("store" = String, Path, description = "The store."),
        ("after" = Option<String>, Query, description = "Begins after this key: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Snapshots of a page: 1000 unless given, 10000 at most."),
        ("prefix" = Option<String>, Query, description = "Only snapshots whose keys begin so."),
        ("state" = Option<String>, Query, description = "`view`, `active` or `committed`: only snapshots of this kind."),
    ),
    responses(
    (status = 200, description = "The page.", body = SnapshotList),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At(store): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let fits = match page.state.as_deref() {
        None => None,
        Some("view") => Some(SnapshotKind::View),
        Some("active") => Some(SnapshotKind::Active),
        Some("committed") => Some(SnapshotKind::Committed),
        Some(other) => {
            return Err(RequestError::Invalid(format!(
                "there are no snapshots in the state `{other}`; give `view`, `active` or `committed`"
            ))
            .into());
        }
    };
    let list = call(shared, move |engine| {
        let mut snapshots = engine.snapshots(&store)?.list();
        snapshots.retain(|snapshot| fits.is_none_or(|kind| snapshot.kind == kind));
        let next = page.cut(&mut snapshots, |snapshot| &snapshot.key);
        let snapshots = snapshots
            .iter()
            .map(|snapshot| SnapshotView::from(&**snapshot));
        Ok(SnapshotList {
            snapshots: snapshots.collect(),
            next,
        })
    });
    answer(StatusCode::OK, &list.await?)
}

/// Describes a snapshot.
#[utoipa::path(get, path = "/v1/stores/{store}/snapshots/{key}", operation_id = "get_snapshot", tag = "snapshots",
    params(
        ("store" = String, Path, description = "The store."),
        ("key" = String, Path, description = "The key or name, percent-encoded."),
    ),
    responses(
    (status = 200, description = "The snapshot.", body = SnapshotView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn inspect(
    State(shared): State<Shared>,
    At((store, key)): At<(String, String)>,
) -> Answer {
    let found = call(shared, move |engine| engine.snapshots(&store)?.get(&key)).await?;
    answer(StatusCode::OK, &SnapshotView::from(&*found))
}

/// Measures what a snapshot takes on its device, without what lies below it.
#[utoipa::path(get, path = "/v1/stores/{store}/snapshots/{key}/usage", operation_id = "get_snapshot_usage", tag = "snapshots",
    params(
        ("store" = String, Path, description = "The store."),
        ("key" = String, Path, description = "The key or name, percent-encoded."),
    ),
    responses(
    (status = 200, description = "The usage.", body = SnapshotUsage),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn usage(
    State(shared): State<Shared>,
    At((store, key)): At<(String, String)>,
) -> Answer {
    let usage = call_apart(shared, CancelOnDrop::default(), move |engine, token| {
        engine.snapshots(&store)?.usage(&key, token)
    });
    answer(StatusCode::OK, &SnapshotUsage::from(usage.await?))
}
