//! The calls that compare layers: archives both ways, lists of changes, sizes.
//!
//! `Parent` is compared with as it is said: empty means nothing, so that the whole layer is told. `ApplyDiff` goes by
//! the parent that the layer was created from.
//!
//! Invariant: archives and lists stream; an answer that is whole came of an operation that succeeded.

use super::messages::{ApplyQuery, Change, Reply, Request};
use super::{Answer, MEDIA_TYPE, Shared, answer, call, read};
use crate::api::archive::{Target, Wanted, transfer};
use crate::api::dispatch::dispatch;
use crate::api::refusal::RequestError;
use crate::api::stream::{self, CancelOnDrop, Encoder};
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{Uri, header};
use axum::response::IntoResponse as _;
use mica_engine::{ArchiveForm, ChangeSink, DiffParent, DiffRequest, OperationKind};
use std::sync::Arc;

/// Pages of up to 1024 changes that lie ready for a client.
const CHANNEL_PAGES: usize = 4;

fn compared(request: &mut Request) -> (String, DiffParent) {
    let parent = request.take_parent();
    let parent = parent.map_or(DiffParent::None, DiffParent::Layer);
    (request.take_id(), parent)
}

/// `Diff`: the difference as an archive, in the form of moby, whose images are known by the digests of such.
pub(super) async fn diff(State(shared): State<Shared>, body: Body) -> Answer {
    let (id, parent) = compared(&mut read(&shared, body).await?);
    let store = shared.settings.store.clone();
    let request = DiffRequest {
        id,
        parent,
        form: ArchiveForm::Moby,
    };
    let ticket = shared
        .engine
        .begin(OperationKind::Diff, &store, &request.id);
    let body = transfer::diff(Arc::clone(&shared.engine), store, request, ticket, |sink| {
        sink
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response())
}

/// `Changes`: the difference as a list.
pub(super) async fn changes(State(shared): State<Shared>, body: Body) -> Answer {
    let (id, parent) = compared(&mut read(&shared, body).await?);
    let (sink, pages) = ChangeSink::channel(CHANNEL_PAGES);
    let cancel = CancelOnDrop::default();
    let token = cancel.token();
    let work = move || {
        let store = shared.engine.store(&shared.settings.store)?;
        store.changes(&id, &parent, sink, token)
    };
    let result = dispatch(work);
    let body = stream::body(List { is_first: true }, pages, result, cancel).await?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response())
}

/// `ApplyDiff`: an archive into a layer, whole or not at all.
pub(super) async fn apply_diff(State(shared): State<Shared>, uri: Uri, mut body: Body) -> Answer {
    let Query(query): Query<ApplyQuery> = Query::try_from_uri(&uri)
        .map_err(|rejection| RequestError::Invalid(rejection.body_text()))?;
    let target = Target {
        engine: Arc::clone(&shared.engine),
        store: shared.settings.store.clone(),
        id: query.id,
        // moby leaves the top directory alone, and images rely on it.
        form: ArchiveForm::Moby,
        expected: Box::new(|_| true),
    };
    let (idle, limits) = (shared.stream_idle, &shared.limits);
    let report = transfer::apply(target, Wanted::Found, &mut body, idle, limits).await?;
    answer(&Reply {
        size: Some(report.size_bytes),
        ..Reply::default()
    })
}

/// `DiffSize`: the bytes of what was added and modified.
pub(super) async fn diff_size(State(shared): State<Shared>, body: Body) -> Answer {
    let (id, parent) = compared(&mut read(&shared, body).await?);
    let size = call(&shared, move |engine, store| {
        engine.store(store)?.size(&id, &parent)
    })
    .await?;
    answer(&Reply {
        size: Some(size),
        ..Reply::default()
    })
}

/// Writes `{"Changes":[…]}` page by page.
struct List {
    is_first: bool,
}

impl Encoder for List {
    type Piece = Vec<mica_engine::Change>;

    fn encode(&mut self, page: Vec<mica_engine::Change>) -> Bytes {
        let mut text = Vec::with_capacity(page.len() * 64);
        for change in page {
            let before: &[u8] = if self.is_first {
                br#"{"Changes":["#
            } else {
                b","
            };
            self.is_first = false;
            text.extend_from_slice(before);
            // Writing strings to memory does not fail; a change that were left out would break the JSON's commas.
            if let Err(error) = serde_json::to_writer(&mut text, &Change::from(change)) {
                tracing::error!(%error, "a change cannot be written");
            }
        }
        text.into()
    }

    fn finish(&mut self) -> Bytes {
        Bytes::from_static(if self.is_first { b"{}" } else { b"]}" })
    }
}
