//! Docker's plugin protocol for graph drivers: JSON over HTTP on a unix socket, as dockerd 1.13 to 27 speak it.
//!
//! One socket serves one store, which the first `Init` makes; `init` says how. Everything that a later call needs is
//! the engine's, so a restart of the daemon under a running dockerd loses nothing.
//!
//! Invariant: every answer has the protocol's form, `Err` and all; nothing is remembered between two calls.

mod init;
mod layers;
mod messages;
mod refusal;
mod streams;

use crate::api::Manners;
use crate::api::body;
use crate::api::call;
use crate::api::refusal::{Refusal, RequestError};
use crate::api::share::{Visitor, hold};
use crate::config::{ApiLimits, DockerSettings};
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use axum::{Extension, Router};
use messages::Reply;
use mica_engine::{ClientCall, Engine};
use refusal::Refused;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What every call needs.
pub(crate) struct Docker {
    /// The domain.
    pub(crate) engine: Arc<Engine>,
    /// How long an archive may stand still on its way in.
    pub(crate) stream_idle: Duration,
    /// Limits that the interfaces share.
    pub(crate) limits: ApiLimits,
    /// Which store is served, and what it is made with.
    pub(crate) settings: DockerSettings,
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Docker")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

type Shared = Arc<Docker>;
type Answer = Result<Response, Refused>;

/// The media type of requests and answers.
const MEDIA_TYPE: HeaderValue =
    HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");

/// The interface for a unix socket, whose mode says who may use it.
pub(crate) fn router(docker: Arc<Docker>) -> Router {
    calls()
        .into_iter()
        .fold(Router::new(), |router, (path, call)| {
            router.route(path, call)
        })
        .fallback(unknown_call)
        .method_not_allowed_fallback(not_posted)
        .with_state(docker)
}

/// The calls of the protocol.
fn calls() -> [(&'static str, MethodRouter<Shared>); 16] {
    [
        ("/Plugin.Activate", post(init::activate)),
        ("/GraphDriver.Init", post(init::init)),
        ("/GraphDriver.Capabilities", post(init::capabilities)),
        ("/GraphDriver.Status", post(init::status)),
        ("/GraphDriver.Cleanup", post(init::cleanup)),
        ("/GraphDriver.Create", post(layers::create)),
        (
            "/GraphDriver.CreateReadWrite",
            post(layers::create_read_write),
        ),
        ("/GraphDriver.Remove", post(layers::remove)),
        ("/GraphDriver.Get", post(layers::get)),
        ("/GraphDriver.Put", post(layers::put)),
        ("/GraphDriver.Exists", post(layers::exists)),
        ("/GraphDriver.GetMetadata", post(layers::metadata)),
        ("/GraphDriver.Diff", streamed(post(streams::diff))),
        ("/GraphDriver.Changes", streamed(post(streams::changes))),
        (
            "/GraphDriver.ApplyDiff",
            streamed(post(streams::apply_diff)),
        ),
        ("/GraphDriver.DiffSize", post(streams::diff_size)),
    ]
}

/// What is answered without the router.
pub(crate) const MANNERS: Manners = Manners {
    admit: name,
    refuse: |full| Refused::from(full).into_response(),
    defect: || Refused::from(Refusal::defect()).into_response(),
};

/// Names the client's call.
fn name(request: &HttpRequest) -> Option<Response> {
    static CALLS: LazyLock<[&str; 16]> = LazyLock::new(|| calls().map(|(path, _)| path));
    let path = request.uri().path();
    let known = CALLS.iter().find(|known| **known == path);
    if let (Some(call), Some(name)) = (ClientCall::current(), known) {
        call.name(name.trim_start_matches('/'));
    }
    None
}

/// A call that counts as a stream of its client until its answer has been taken.
fn streamed(call: MethodRouter<Shared>) -> MethodRouter<Shared> {
    call.layer(middleware::from_fn(stream))
}

async fn stream(
    Extension(visitor): Extension<Visitor>,
    request: HttpRequest,
    next: Next,
) -> Response {
    match visitor.stream() {
        Ok(share) => next.run(request).await.map(|body| hold(body, share)),
        Err(full) => (MANNERS.refuse)(full),
    }
}

async fn unknown_call(request: HttpRequest) -> Refused {
    RequestError::UnknownPath(request.uri().path().to_owned()).into()
}

async fn not_posted(request: HttpRequest) -> Refused {
    let path = request.uri().path().to_owned();
    let method = request.method().to_string();
    RequestError::Method { path, method }.into()
}

/// Reads a request; dockerd sends nothing at all where there is nothing to say.
async fn read<T: DeserializeOwned + Default>(shared: &Shared, body: Body) -> Result<T, Refused> {
    let request = body::json(body, shared.limits.json_bytes, Some(T::default())).await?;
    Ok(request)
}

/// Calls the engine on a thread that may block; the text is the store's name.
async fn call<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Engine, &str) -> mica_engine::Result<T> + Send + 'static,
) -> Result<T, Refused> {
    let (engine, shared) = (Arc::clone(&shared.engine), Arc::clone(shared));
    let work = move |engine: &Engine| work(engine, &shared.settings.store);
    Ok(call::call(engine, work).await?)
}

/// An answer that is a document.
fn answer<T: Serialize>(value: &T) -> Answer {
    let body =
        serde_json::to_vec(value).map_err(|error| RequestError::Internal(error.to_string()))?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response())
}

/// The answer of a call that has nothing to tell.
fn done() -> Answer {
    answer(&Reply::default())
}
