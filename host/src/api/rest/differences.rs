//! Archives of layers: out, in, and their size.
//!
//! Invariant: an archive streams; no size of it is held in memory.

use super::digests::{self, Known};
use super::extract::{Asked, At};
use super::{Answer, Shared, answer, call, operations, ranges, tags};
use crate::api::archive::{Coding, Target, Wanted, transfer};
use crate::api::refusal::RequestError;
use crate::api::types::{ApplyReport, Problem, SizeView};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use mica_engine::{ArchiveForm, DiffParent, DiffRequest, OperationKind};
use serde::Deserialize;
use std::sync::Arc;

/// What a layer is compared with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParentQuery {
    parent: Option<String>,
}

impl From<ParentQuery> for DiffParent {
    fn from(query: ParentQuery) -> Self {
        match query.parent {
            None => Self::Own,
            Some(parent) if parent.is_empty() => Self::None,
            Some(parent) => Self::Layer(parent),
        }
    }
}

/// Writes the difference between a layer and another as a tar archive.
///
/// PAX, entries in byte order, deletions as whiteouts; the same layers give the same bytes. An error after the first
/// bytes breaks the body off: the connection closes without the last chunk. `GET /v1/operations/{operation}` then says
/// why, and of an archive that is whole what of the layer it does not hold.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/diff", operation_id = "diff_layer", tag = "differences",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("parent" = Option<String>, Query,
            description = "Compares with this layer; if absent with the layer's parent, if empty with nothing."),
        ("Range" = Option<String>, Header, description = "One range of bytes, of a layer that is kept as its archive; any other answers with all."),
        ("If-Range" = Option<String>, Header, description = "The tag of which a range is asked for; all is answered if it has another."),
        ("TE" = Option<String>, Header, description = "`trailers`: the digest follows the archive where it is not known before."),
    ),
    responses(
    (status = 200, description = "The archive.", body = Vec<u8>, content_type = "application/x-tar",
        headers(("Mica-Operation" = String, description = "By what to ask `/v1/operations/{operation}`."),
            ("Content-Length" = Option<u64>, description = "Of a layer that is kept as its archive: its bytes."),
            ("Accept-Ranges" = Option<String>, description = "`bytes`: parts of it can be asked for."),
            ("ETag" = Option<String>, description = "Of a layer that is kept as its archive: what it is, for `If-Range`."),
            ("Repr-Digest" = Option<String>, description = "The digest by SHA-256 of the whole archive (RFC 9530); a trailer where it is known only \
                at the end and the request says `TE: trailers`."),
            ("Mica-Diff-Id" = Option<String>, description = "The same as `sha256:` and hexadecimal digits."))),
    (status = 206, description = "The part of the archive that was asked for.", body = Vec<u8>, content_type = "application/x-tar",
        headers(("Content-Range" = String, description = "Which bytes these are, of how many."),
            ("ETag" = String, description = "What the archive is, for `If-Range`."))),
    (status = 416, description = "The range lies behind the end.", body = Problem, content_type = "application/problem+json"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn diff(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    Asked(query): Asked<ParentQuery>,
    headers: HeaderMap,
) -> Answer {
    let request = DiffRequest {
        id,
        parent: query.into(),
        form: ArchiveForm::Faithful,
    };
    let ticket = shared
        .engine
        .begin(OperationKind::Diff, &store, &request.id);
    let operation = operations::header(&ticket)?;
    let known = Known::default();
    let asking = known.clone();
    let range = ranges::Asked::of(&headers);
    let prepare = move |sink| asking.watch(sink, range);
    let engine = Arc::clone(&shared.engine);
    let body = transfer::diff(engine, store, request, ticket, prepare).await?;
    let mut answer = known.answer(body, digests::takes_trailers(&headers));
    if !answer.status().is_client_error() {
        let kind = HeaderValue::from_static("application/x-tar");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    answer.headers_mut().insert(operation.0, operation.1);
    Ok(answer)
}

/// Applies a tar archive to a layer, whole or not at all.
///
/// Compression by gzip or zstd is found by the first bytes, or told by `Content-Encoding`.
#[utoipa::path(put, path = "/v1/stores/{store}/layers/{id}/diff", operation_id = "apply_layer", tag = "differences",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("If-Match" = Option<String>, Header, description = "Tags of which the layer must have one: 412 if it has changed."),
    ),
    request_body(content = Vec<u8>, content_type = "application/x-tar", description = "The archive."),
    responses(
    (status = 200, description = "What was applied.", body = ApplyReport),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn apply(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    headers: HeaderMap,
    mut body: Body,
) -> Answer {
    let wanted = told(&headers)?;
    let expected = tags::Wanted::read(&headers)?;
    let into = Target {
        engine: Arc::clone(&shared.engine),
        store,
        id,
        form: ArchiveForm::Faithful,
        expected: Box::new(move |layer| expected.fits(layer)),
    };
    let idle = shared.runtime.limits().stream_idle();
    let report = transfer::apply(into, wanted, &mut body, idle, &shared.limits).await?;
    answer(StatusCode::OK, &ApplyReport::from(report))
}

/// Sums the sizes of what a layer adds to another, or changes.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/size", operation_id = "get_layer_diff_size", tag = "differences",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("parent" = Option<String>, Query,
            description = "Compares with this layer; if absent with the layer's parent, if empty with nothing."),
    ),
    responses(
    (status = 200, description = "The size.", body = SizeView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn size(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    Asked(query): Asked<ParentQuery>,
) -> Answer {
    let size_bytes = call(shared, move |engine| {
        engine.store(&store)?.size(&id, &query.into())
    })
    .await?;
    answer(StatusCode::OK, &SizeView { size_bytes })
}

/// What the request says of the archive's compression.
pub(super) fn told(headers: &HeaderMap) -> Result<Wanted, RequestError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Wanted::Found);
    };
    match value.as_bytes().to_ascii_lowercase().as_slice() {
        b"identity" | b"" => Ok(Wanted::Found),
        b"gzip" | b"x-gzip" => Ok(Wanted::Told(Coding::Gzip)),
        b"zstd" => Ok(Wanted::Told(Coding::Zstd)),
        _ => Err(RequestError::Encoding(
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_with_is_told_by_absence_emptiness_or_name() {
        for (parent, expected) in [
            (None, DiffParent::Own),
            (Some(""), DiffParent::None),
            (Some("a"), DiffParent::Layer("a".to_owned())),
        ] {
            let parent = parent.map(str::to_owned);
            assert_eq!(DiffParent::from(ParentQuery { parent }), expected);
        }
    }

    #[test]
    fn an_encoding_that_is_not_known_is_refused_by_name() {
        let mut headers = HeaderMap::new();
        assert_eq!(told(&headers).unwrap(), Wanted::Found);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("GZIP"));
        assert_eq!(told(&headers).unwrap(), Wanted::Told(Coding::Gzip));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert!(told(&headers).unwrap_err().to_string().contains("`br`"));
    }
}
