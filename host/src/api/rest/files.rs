//! `GET /v1/stores/{store}/layers/{id}/files` and `…/content`: looking into a layer without a mount.
//!
//! Invariant: a list and a content stream; no file is held in memory, and a client that takes nothing holds no thread for good.

use super::extract::{Asked, At};
use super::{Answer, Shared, operations, ranges};
use crate::api::dispatch::dispatch;
use crate::api::stream::{self, CancelOnDrop, JsonLines, Raw};
use crate::api::types::{FileView, Problem};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mica_engine::{
    CancelToken, Engine, Error, FilesRequest, OpenFile, OperationKind, OperationTicket,
};
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Pages of up to 1024 files, or pieces of content, that lie ready for a client.
const CHANNEL_PIECES: usize = 4;
/// Bytes of a piece of content.
const PIECE_BYTES: usize = 256 << 10;

/// Which file of a layer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuery {
    path: Option<String>,
    path_base64: Option<String>,
    #[serde(default)]
    recursive: bool,
}

/// Which file is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentQuery {
    path: Option<String>,
    path_base64: Option<String>,
}

/// The path in bytes; the top without one.
fn path_of(path: Option<&str>, path_base64: Option<&str>) -> Result<Vec<u8>, Error> {
    match (path, path_base64) {
        (Some(_), Some(_)) => Err(Error::Invalid(
            "the query has `path` and `path_base64`; one path at a time".to_owned(),
        )),
        (Some(path), None) => Ok(path.as_bytes().to_vec()),
        (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|_no_base64| {
            Error::Invalid("the query's `path_base64` is no base64".to_owned())
        }),
        (None, None) => Ok(b"/".to_vec()),
    }
}

/// Lists the files at a path of a layer, as a process sees them whose root the layer is.
///
/// Of a directory that is what is in it, names in byte order; of any other file that one. Links of the path are followed, and
/// never lead out of the layer. Works also while the layer is mounted, and takes no reference. An error after the first bytes
/// breaks the body off; `GET /v1/operations/{operation}` then says why.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/files", operation_id = "list_layer_files", tag = "files",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("path" = Option<String>, Query, description = "The path from the layer's root; the root if absent."),
        ("path_base64" = Option<String>, Query, description = "The path in base64, if it is no UTF-8."),
        ("recursive" = Option<bool>, Query,
            description = "Whether the directory itself and what lies deeper is told too, each directory before what is in it."),
    ),
    responses(
    (status = 200, description = "The files, one JSON document a line.", body = FileView, content_type = "application/x-ndjson",
        headers(("Mica-Operation" = String, description = "By what to ask `/v1/operations/{operation}`."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    Asked(query): Asked<FileQuery>,
) -> Answer {
    let request = FilesRequest {
        id,
        path: path_of(query.path.as_deref(), query.path_base64.as_deref())?,
        is_recursive: query.recursive,
    };
    let ticket = shared
        .engine
        .begin(OperationKind::Files, &store, &request.id);
    lines::<FileView>(shared, ticket, move |engine, page, token| {
        engine.store(&store)?.files(&request, page, token)
    })
    .await
}

/// Reads a regular file of a layer.
///
/// Links of the path are followed, and never lead out of the layer. The content is that of the moment for a layer that is
/// mounted and changes.
#[utoipa::path(get, path = "/v1/stores/{store}/layers/{id}/content", operation_id = "get_layer_content", tag = "files",
    params(
        ("store" = String, Path, description = "The store."),
        ("id" = String, Path, description = "The layer, percent-encoded."),
        ("path" = Option<String>, Query, description = "The path from the layer's root."),
        ("path_base64" = Option<String>, Query, description = "The path in base64, if it is no UTF-8."),
        ("Range" = Option<String>, Header, description = "One range of bytes; any other answers with all."),
        ("If-Range" = Option<String>, Header, description = "The tag of which a range is asked for; all is answered if it has another."),
    ),
    responses(
    (status = 206, description = "The part of the file that was asked for.", body = Vec<u8>, content_type = "application/octet-stream",
        headers(("Content-Range" = String, description = "Which bytes these are, of how many."),
            ("ETag" = String, description = "What the file is, for `If-Range`."))),
    (status = 416, description = "The range lies behind the end.", body = Problem, content_type = "application/problem+json"),
    (status = 200, description = "The bytes of the file.", body = Vec<u8>, content_type = "application/octet-stream",
        headers(("Mica-Operation" = String, description = "By what to ask `/v1/operations/{operation}`."))),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn content(
    State(shared): State<Shared>,
    At((store, id)): At<(String, String)>,
    Asked(query): Asked<ContentQuery>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let path = path_of(query.path.as_deref(), query.path_base64.as_deref())?;
    let asked = ranges::Asked::of(&method, &headers);
    let ticket = shared.engine.begin(OperationKind::Content, &store, &id);
    let operation = operations::header(&ticket)?;
    let cancel = CancelOnDrop::of(&ticket);
    let token = cancel.token();
    let (sender, pieces) = mpsc::channel(CHANNEL_PIECES);
    let (choice_told, choice) = oneshot::channel();
    let idle = shared.runtime.limits().stream_idle();
    let work = move || {
        let opened = shared
            .engine
            .store(&store)
            .and_then(|store| store.open_file(&id, &path, &token));
        match opened {
            Ok(file) => {
                let tag = file.tag();
                let choice = asked.choose(file.size_bytes, &tag);
                let sent = choice.bytes();
                // Whoever waits for it may have gone.
                let _told = choice_told.send((choice, tag));
                send_content(file, sent, &sender, ticket, idle)
            }
            Err(error) => ticket.end(Err(error), |()| None),
        }
    };
    let result = dispatch(work);
    let body = stream::body(Raw, pieces, result, cancel).await?;
    let kind = HeaderValue::from_static("application/octet-stream");
    let mut response = ([(header::CONTENT_TYPE, kind), operation], body).into_response();
    // An answer is there only after this was told.
    if let Ok((choice, tag)) = choice.await {
        if let Some(refused) = choice.refused() {
            return Ok(refused);
        }
        choice.tell(&mut response);
        ranges::insert(response.headers_mut(), header::ETAG, &tag);
    }
    Ok(response)
}

/// Hands on these bytes of a file, which it had when it was opened.
fn send_content(
    file: OpenFile,
    sent: Range<u64>,
    sender: &mpsc::Sender<Bytes>,
    ticket: OperationTicket,
    idle: Duration,
) -> Result<(), Error> {
    let mut content = file.content;
    let unread = |error| Error::Io {
        doing: "read a file of a layer".to_owned(),
        source: error,
    };
    let mut send = || {
        content.seek(SeekFrom::Start(sent.start)).map_err(unread)?;
        let mut left = sent.end - sent.start;
        while left > 0 {
            let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
            content.read_exact(&mut piece).map_err(unread)?;
            left -= piece.len() as u64;
            hand_on(sender, piece.into(), idle)?;
        }
        Ok(())
    };
    let sent = send();
    ticket.end(sent, |()| None)
}

/// Streams what the engine lists page by page, one JSON document a line.
///
/// # Errors
/// Those of the engine, if it ends before the first page.
pub(super) async fn lines<T: Serialize + Send + 'static>(
    shared: Shared,
    ticket: OperationTicket,
    list: impl FnOnce(&Engine, Pages<'_, T>, &CancelToken) -> Result<(), Error> + Send + 'static,
) -> Answer {
    let operation = operations::header(&ticket)?;
    let cancel = CancelOnDrop::of(&ticket);
    let token = cancel.token();
    let (sender, pages) = mpsc::channel(CHANNEL_PIECES);
    let idle = shared.runtime.limits().stream_idle();
    let work = move || {
        let mut told = Ok(());
        let handle = Handle::current();
        let mut page = |page: Vec<T>| {
            // It may be called on a thread of its own, which knows no runtime.
            let _entered = handle.enter();
            told = hand_on(&sender, page, idle);
            match told {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        let listed = list(&shared.engine, &mut page, &token);
        ticket.end(told.and(listed), |()| None)
    };
    let result = dispatch(work);
    let body = stream::body(JsonLines::new(), pages, result, cancel).await?;
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind), operation], body).into_response())
}

/// Takes a page of a list, and says whether another one is wanted.
type Pages<'a, T> = &'a mut (dyn FnMut(Vec<T>) -> ControlFlow<()> + Send);

/// Gives a piece to the client, which may take nothing for `idle`.
fn hand_on<T>(sender: &mpsc::Sender<T>, piece: T, idle: Duration) -> Result<(), Error> {
    let sent = Handle::current().block_on(tokio::time::timeout(idle, sender.send(piece)));
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_gone)) => Err(Error::Cancelled),
        Err(_elapsed) => Err(Error::TimedOut(format!(
            "the client took nothing for {idle:?}: `stream_idle_seconds`"
        ))),
    }
}
