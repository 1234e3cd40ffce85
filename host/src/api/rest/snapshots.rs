//! `/v1/stores/{store}/snapshots`: what a container runtime holds. Only the runtime changes it.
//!
//! Invariant: parses, calls the engine, prints.

use super::extract::{Asked, At};
use super::page::PageQuery;
use super::{Answer, Shared, answer, call};
use crate::api::stream::CancelOnDrop;
use crate::api::types::{Problem, SnapshotList, SnapshotUsage, SnapshotView};
use axum::extract::State;
use axum::http::StatusCode;

/// Lists snapshots in byte order of their keys, in pages.
#[utoipa::path(get, path = "/v1/stores/{store}/snapshots", operation_id = "list_snapshots", tag = "snapshots",
    params(
        ("store" = String, Path, description = "The store."),
        ("after" = Option<String>, Query, description = "Begins after this key: `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "Snapshots of a page: 1000 unless given, 10000 at most."),
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
    let limit = page.limit();
    let list = call(shared, move |engine| {
        let mut snapshots = engine.snapshots(&store)?.list();
        let first = page.after.map_or(0, |after| {
            snapshots.partition_point(|snapshot| snapshot.key <= after)
        });
        snapshots.drain(..first);
        let is_last = snapshots.len() <= limit;
        snapshots.truncate(limit);
        let last = snapshots.last().filter(|_| !is_last);
        let next = last.map(|snapshot| snapshot.key.clone());
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
    let cancel = CancelOnDrop::default();
    let token = cancel.token();
    let usage = call(shared, move |engine| {
        engine.snapshots(&store)?.usage(&key, &token)
    });
    answer(StatusCode::OK, &SnapshotUsage::from(usage.await?))
}
