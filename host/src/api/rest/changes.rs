//! `GET /v1/stores/{store}/layers/{id}/changes`.
//!
//! Invariant: the list streams; it is valid JSON only if it is whole.

use super::differences::ParentQuery;
use super::extract::{Asked, At};
use super::{Answer, Shared, operations};
use crate::api::dispatch::dispatch;
use crate::api::stream::{self, CancelOnDrop, Encoder};
use crate::api::types::{ChangeList, ChangeView, Problem};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;
use mica_engine::{Change, ChangeSink, OperationKind};
use mica_text::text_of;

/// Pages of up to 1024 changes that lie ready for a client.
const CHANNEL_PAGES: usize = 4;

/// Lists the paths that differ between a layer and another, in byte order.
///
/// An error after the first bytes breaks the body off: the connection closes without the last chunk.
/// `GET /v1/operations/{operation}` then says why.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/changes", operation_id = "list_layer_changes", tag = "differences",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("parent" = Option<String>, Query,
            description = "Compares with this layer; if absent with the layer's parent, if empty with nothing."),
    ),
    responses(
    (status = 200, description = "The changes.", body = ChangeList,
        headers(("Mica-Operation" = String, description = "By what to ask `/v1/operations/{operation}`."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn changes(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    Asked(query): Asked<ParentQuery>,
) -> Answer {
    let (sink, pages) = ChangeSink::channel(CHANNEL_PAGES);
    let ticket = shared.engine.begin(OperationKind::Changes, &store, &id);
    let cancel = CancelOnDrop::of(&ticket);
    let token = cancel.token();
    let operation = operations::header(&ticket)?;
    let work = move || {
        let engine = &shared.engine;
        let listed = engine
            .store(&store)
            .and_then(|store| store.changes(&id, &query.into(), sink, token));
        ticket.end(listed, |()| None)
    };
    let result = dispatch(work);
    let body = stream::body(Json { is_first: true }, pages, result, cancel).await?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind), operation], body).into_response())
}

/// Writes `{"changes":[…]}` page by page.
struct Json {
    is_first: bool,
}

impl Json {
    fn separate(&mut self, text: &mut Vec<u8>) {
        let before: &[u8] = if self.is_first {
            br#"{"changes":["#
        } else {
            b","
        };
        self.is_first = false;
        text.extend_from_slice(before);
    }
}

impl Encoder for Json {
    type Piece = Vec<Change>;

    fn encode(&mut self, page: Vec<Change>) -> Bytes {
        let mut text = Vec::with_capacity(page.len() * 64);
        for change in page {
            self.separate(&mut text);
            // Writing strings to memory does not fail; a change that were left out would break the JSON's commas.
            if let Err(error) = serde_json::to_writer(&mut text, &view(change)) {
                tracing::error!(%error, "a change cannot be written");
            }
        }
        text.into()
    }

    fn finish(&mut self) -> Bytes {
        Bytes::from_static(if self.is_first {
            br#"{"changes":[]}"#
        } else {
            b"]}"
        })
    }
}

fn view(change: Change) -> ChangeView {
    let (path, path_base64) = text_of(change.path);
    ChangeView {
        path,
        kind: change.kind.into(),
        path_base64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_engine::ChangeKind;

    fn change(path: &[u8]) -> Change {
        Change {
            path: path.to_vec(),
            kind: ChangeKind::Add,
        }
    }

    #[test]
    fn pages_become_one_list() {
        for pages in [
            vec![],
            vec![vec!["/a"]],
            vec![vec!["/a", "/b"], vec![], vec!["/c"]],
        ] {
            let mut json = Json { is_first: true };
            let mut text = Vec::new();
            let all: Vec<_> = pages.concat();
            for page in pages {
                text.extend(json.encode(page.iter().map(|path| change(path.as_bytes())).collect()));
            }
            text.extend(json.finish());
            let list: ChangeList = serde_json::from_slice(&text).unwrap();
            assert_eq!(
                list.changes
                    .iter()
                    .map(|change| change.path.as_str())
                    .collect::<Vec<_>>(),
                all
            );
        }
    }
}
