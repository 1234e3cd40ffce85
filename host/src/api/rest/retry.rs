//! Requests that may be sent again: `Idempotency-Key`.
//!
//! | a request that changes something, with a key | answer |
//! |---|---|
//! | that is not known | it is carried out, also when its client goes away meanwhile, unless the body breaks off |
//! | of the same request, which was carried out | the answer of that time, with the header `Idempotent-Replayed: true` |
//! | of the same request, which is being carried out | 409 `request-running`, with `Retry-After` |
//! | of the same request, whose answer was too long to be kept | 409 `answer-not-kept` |
//! | of another request | 422 `key-reused` |
//!
//! The client's share of requests is held until the request is carried out, because clients that went would have no bound else.
//!
//! A daemon that is started anew knows no key of the one before. So each answer tells the start of its daemon (`Mica-Start`) and how long
//! ago that was (`Mica-Uptime`), and a request that comes again may say which daemon it is meant for.
//!
//! Invariant: a request with a key changes something once, for as long as its answer is kept.

use super::answers::{Digest, Found, KEPT_BYTES, Kept, Turn};
use super::{Shared, queries};
use crate::api::body::BODY_IDLE_TIMEOUT;
use crate::api::refusal::{Refusal, RequestError};
use crate::api::share::{Share, Visitor};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use mica_engine::ClientCall;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The header with the key.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was kept.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The header that tells one start of the daemon from another; of a request, the start that it is meant for.
const START: HeaderName = HeaderName::from_static("mica-start");
/// The header with the milliseconds since then.
const UPTIME: HeaderName = HeaderName::from_static("mica-uptime");
/// Characters of a key.
const KEY_CHARACTERS: usize = 128;
/// Headers that say what a request asks for, beside its body.
const TELLING: [HeaderName; 3] = [
    header::IF_MATCH,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
];

/// Carries a request out, or answers as it was answered before. Every answer tells of which daemon it is.
pub(super) async fn once(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut answer = answered(&shared, request, next).await;
    let uptime = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let headers = answer.headers_mut();
    headers.insert(UPTIME, HeaderValue::from(uptime));
    if let Ok(start) = HeaderValue::from_str(&shared.engine.start_id()) {
        headers.insert(START, start);
    }
    answer
}

/// Whether a request may change something: keys count for no other. The method is meant in any case of its letters.
pub(super) fn may_change(path: &str, method: &str) -> bool {
    let is_look_up = path.ends_with("/layers:lookup") || path == "/v1/drivers:judge";
    !is_look_up
        && !["get", "head"]
            .iter()
            .any(|plain| method.eq_ignore_ascii_case(plain))
}

async fn answered(shared: &Shared, request: Request, next: Next) -> Response {
    let changes = may_change(request.uri().path(), request.method().as_str());
    // What the path does not take is the router's to refuse.
    if !changes || !request.headers().contains_key(KEY) || !queries::takes(&request) {
        return next.run(request).await;
    }
    let key = match key(request.headers()) {
        Ok(Some(key)) => key,
        Ok(None) => return next.run(request).await,
        Err(error) => return Refusal::from(error).into_response(),
    };
    let Some(visitor) = request.extensions().get::<Visitor>().cloned() else {
        return Refusal::defect().into_response();
    };
    let start = request.headers().get(START);
    if start.is_some_and(|start| start != shared.engine.start_id().as_str()) {
        return Refusal::from(RequestError::StartedAnew).into_response();
    }
    let found = shared.answers.find(visitor.client, &key, head(&request));
    let refusal = match found {
        Found::New(turn) => return carry_out((turn, visitor.request), request, next).await,
        Found::Kept(kept) => match replay(kept, &key, request.into_body()).await {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        },
        Found::Running => RequestError::KeyRunning(key).into(),
        Found::Other => RequestError::KeyReused(key).into(),
        Found::Full => RequestError::NoRoomForKey.into(),
    };
    refusal.into_response()
}

/// The key of a request: a string as RFC 8941 writes it, with or without its quotes.
fn key(headers: &HeaderMap) -> Result<Option<String>, RequestError> {
    let mut keys = headers.get_all(KEY).iter();
    let Some(value) = keys.next() else {
        return Ok(None);
    };
    let wrong = || {
        RequestError::Invalid(format!(
            "the header `Idempotency-Key` is not one key of 1 to {KEY_CHARACTERS} printable characters"
        ))
    };
    let text = value.to_str().map_err(|_no_text| wrong())?.trim();
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_key = is_plain && (1..=KEY_CHARACTERS).contains(&text.len());
    match (is_key, keys.next()) {
        (true, None) => Ok(Some(text.to_owned())),
        _ => Err(wrong()),
    }
}

/// The digest of what a request asks for, without its body.
fn head(request: &Request) -> Digest {
    let mut digest = Sha256::new();
    let uri = request.uri();
    for part in [
        request.method().as_str(),
        uri.path(),
        uri.query().unwrap_or(""),
    ] {
        // A part never has a line break.
        digest.update(part);
        digest.update("\n");
    }
    for name in TELLING {
        for value in request.headers().get_all(&name) {
            digest.update(value.as_bytes());
            digest.update(",");
        }
        digest.update("\n");
    }
    digest.finalize().into()
}

/// Carries a request out for as long as it takes, whether its client waits for it or not.
async fn carry_out(
    (turn, share): (Turn, Option<Arc<Share>>),
    request: Request,
    next: Next,
) -> Response {
    let (request, read) = hashed(request);
    let work = async move {
        let answer = next.run(request).await;
        let answer = keep(turn, answer, &read).await;
        // With it goes its share of requests, if its connection has ended.
        drop(share);
        answer
    };
    let task = match ClientCall::current() {
        Some(call) => tokio::spawn(call.scope(work)),
        None => tokio::spawn(work),
    };
    let defect = |_panic| Refusal::defect().into_response();
    task.await.unwrap_or_else(defect)
}

/// Keeps an answer that says that something was done; of a long one only that.
async fn keep(turn: Turn, answer: Response, read: &Read) -> Response {
    if !answer.status().is_success() {
        return answer;
    }
    let length = answer.body().size_hint().upper();
    let is_short = length.is_some_and(|bytes| bytes <= KEPT_BYTES);
    let (parts, mut body) = answer.into_parts();
    let mut kept = Kept {
        asked: read.digest(),
        status: parts.status,
        headers: parts.headers.clone(),
        body: None,
    };
    if is_short {
        let Ok(collected) = body.collect().await else {
            return Refusal::defect().into_response();
        };
        let bytes = collected.to_bytes();
        kept.body = Some(bytes.clone());
        body = Body::from(bytes);
    }
    turn.keep(kept);
    Response::from_parts(parts, body)
}

/// Answers as before, once the body has turned out to be the same.
async fn replay(kept: Kept, key: &str, mut body: Body) -> Result<Response, Refusal> {
    if let Some(asked) = kept.asked {
        let mut digest = Sha256::new();
        loop {
            let seconds = BODY_IDLE_TIMEOUT.as_secs();
            let frame = tokio::time::timeout(BODY_IDLE_TIMEOUT, body.frame()).await;
            let Some(frame) = frame.or(Err(RequestError::Slow { seconds }))? else {
                break;
            };
            let frame = frame.map_err(|error| RequestError::BrokeOff(error.to_string()))?;
            digest.update(frame.data_ref().unwrap_or(&Bytes::new()));
        }
        if Digest::from(digest.finalize()) != asked {
            return Err(RequestError::KeyReused(key.to_owned()).into());
        }
    }
    let Some(body) = kept.body else {
        let (key, status) = (key.to_owned(), kept.status.as_u16());
        return Err(RequestError::AnswerNotKept { key, status }.into());
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = kept.status;
    *answer.headers_mut() = kept.headers;
    answer
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(answer)
}

/// What was read of a body.
#[derive(Clone, Default)]
struct Read(Arc<Mutex<Progress>>);

#[derive(Default)]
struct Progress {
    digest: Sha256,
    is_over: bool,
}

impl Read {
    /// The digest of all of the body, if it came to its end.
    fn digest(&self) -> Option<Digest> {
        let progress = self.0.lock();
        let is_over = progress.is_over;
        is_over.then(|| progress.digest.clone().finalize().into())
    }
}

/// A body of which a digest is made as it is read.
struct Hashed(Body, Read);

fn hashed(request: Request) -> (Request, Read) {
    let read = Read::default();
    read.0.lock().is_over = request.body().is_end_stream();
    let told = read.clone();
    let request = request.map(|body| Body::new(Hashed(body, told)));
    (request, read)
}

impl HttpBody for Hashed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        let mut progress = self.1.0.lock();
        match &frame {
            None => progress.is_over = true,
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    progress.digest.update(bytes);
                }
                progress.is_over = self.0.is_end_stream();
            }
            Some(Err(_)) => {}
        }
        drop(progress);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::Answers;
    use super::*;
    use crate::api::share::Client;
    use std::time::Duration;

    fn key_of(values: &[&str]) -> Result<Option<String>, RequestError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, HeaderValue::from_str(value).unwrap());
        }
        key(&headers)
    }

    #[tokio::test]
    async fn a_long_answer_is_told_and_not_done_again() {
        let answers = Answers::new(2, Duration::from_secs(600));
        let find = || answers.find(Client::User(1), "a", [1; 32]);
        let Found::New(turn) = find() else {
            panic!("it is new");
        };
        let long = vec![b'x'; 70_000];
        let answer = Response::new(Body::from(long.clone()));
        let told = keep(turn, answer, &Read::default()).await.into_body();
        assert_eq!(told.collect().await.unwrap().to_bytes(), long);
        let Found::Kept(kept) = find() else {
            panic!("it would be done again");
        };
        let told = replay(kept, "a", Body::empty()).await.unwrap_err();
        assert_eq!(told.problem().code, "answer-not-kept");
    }

    #[test]
    fn a_key_is_one_short_text() {
        assert_eq!(key_of(&[]).unwrap(), None);
        for same in ["a-1", "\"a-1\"", " a-1 "] {
            assert_eq!(key_of(&[same]).unwrap().unwrap(), "a-1");
        }
        let long = "x".repeat(KEY_CHARACTERS + 1);
        for wrong in [&[""][..], &["\"\""], &["a b"], &[&long], &["a", "a"]] {
            assert!(key_of(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_request_asks_for_is_in_its_head() {
        let ask = |method: &str, uri: &str, tag: &str| {
            let request = Request::builder().method(method).uri(uri);
            head(&request.header("If-Match", tag).body(Body::empty()).unwrap())
        };
        let one = ask("POST", "/v1/a?x=1", "\"1\"");
        assert_eq!(one, ask("POST", "/v1/a?x=1", "\"1\""));
        for (method, uri, tag) in [
            ("PUT", "/v1/a?x=1", "\"1\""),
            ("POST", "/v1/a", "\"1\""),
            ("POST", "/v1/a?x=1", "\"2\""),
        ] {
            assert_ne!(one, ask(method, uri, tag), "{method} {uri} {tag}");
        }
    }
}
