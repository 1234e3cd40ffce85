//! REST: `/v1` over HTTP/1.1.
//!
//! Invariant: every answer that is no success is a problem document; every call of the engine runs on a thread that
//! may block, one for each request.

mod access;
mod answers;
mod changes;
mod dashboard;
mod described;
mod differences;
mod digests;
mod drivers;
mod events;
mod extract;
mod files;
mod holds;
mod host;
mod insight;
mod layers;
mod look;
mod monitor;
mod mounts;
mod openapi;
mod operations;
mod origins;
mod page;
mod papers;
mod problem;
mod queries;
mod ranges;
mod retry;
mod scrub;
mod snapshots;
mod status;
mod stores;
mod swaps;
mod tags;
mod traces;

use crate::api::Manners;
use crate::api::call;
use crate::api::refusal::{Refusal, RequestError};
use crate::api::share::{Full, Listeners, Visitor, hold};
use crate::api::stream::CancelOnDrop;
use crate::api::types::{ConfinementView, KernelView, MemoryView};
use crate::config::{Access, ApiLimits};
pub(crate) use answers::Answers;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router, middleware};
use mica_engine::{CancelToken, Engine, Runtime};
pub(crate) use openapi::may_have;

use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// What every request needs.
pub(crate) struct Api {
    /// The domain.
    pub(crate) engine: Arc<Engine>,
    /// The sandbox, for its facts and its limits.
    pub(crate) runtime: Arc<Runtime>,
    /// What the kernel can do.
    pub(crate) kernel: KernelView,
    /// Asks for the daemon's memory.
    pub(crate) memory: fn() -> Option<MemoryView>,
    /// What the daemon has given up.
    pub(crate) confinement: Option<ConfinementView>,
    /// Limits of this interface.
    pub(crate) limits: ApiLimits,
    /// Answers that are kept for clients that ask again.
    pub(crate) answers: Arc<Answers>,
    /// What is open on the listeners.
    pub(crate) listeners: Arc<Listeners>,
    /// When the daemon was started.
    pub(crate) started: Instant,
    /// Becomes true when the daemon is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

type Shared = Arc<Api>;
type Answer = Result<Response, Refusal>;

/// The interface for the unix socket, whose mode says who may use it.
pub(crate) fn router(api: Arc<Api>) -> Router {
    monitor_router()
        .route("/dashboard", get(dashboard::beside))
        .route("/dashboard/", get(dashboard::page))
        .route("/dashboard/{file}", get(dashboard::file))
        .route("/v1/status", get(status::status))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/v1/events", get(events::events))
        .route("/v1/operations", get(operations::list))
        .route(
            "/v1/operations/{operation}",
            get(operations::inspect).delete(operations::cancel),
        )
        .route("/v1/drivers", get(drivers::list).post(drivers::load))
        .route("/v1/drivers:judge", post(drivers::judge))
        .route(
            "/v1/drivers/{driver}",
            get(drivers::inspect).delete(drivers::remove),
        )
        .route("/v1/drivers/{driver}/swap", post(swaps::swap))
        .route("/v1/drivers/{driver}/rollback", post(swaps::rollback))
        .route("/v1/drivers/{driver}/history", get(swaps::history))
        .route("/v1/drivers/{driver}/release", post(drivers::release))
        .merge(insight_router())
        .route("/v1/stores", get(stores::list).post(stores::create))
        .route(
            "/v1/stores/{store}",
            get(stores::inspect).delete(stores::remove),
        )
        .route(
            "/v1/stores/{store}/scrub",
            get(scrub::status).post(scrub::begin),
        )
        .route("/v1/stores/{store}/rename", post(stores::rename))
        .route("/v1/stores/{store}/move", post(stores::relocate))
        .route("/v1/stores/{store}/holds", get(holds::list))
        .route("/v1/stores/{store}/collect", post(holds::collect))
        .route("/v1/stores/{store}/usage", get(look::usage))
        .route("/v1/stores/{store}/processes", get(look::processes))
        .merge(layers_router())
        .route("/v1/stores/{store}/snapshots", get(snapshots::list))
        .route(
            "/v1/stores/{store}/snapshots/{key}",
            get(snapshots::inspect),
        )
        .route(
            "/v1/stores/{store}/snapshots/{key}/usage",
            get(snapshots::usage),
        )
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&api),
            retry::once,
        ))
        .with_state(api)
}

/// What drivers say and do.
fn insight_router() -> Router<Shared> {
    Router::new()
        .route("/v1/drivers/{driver}/explanation", get(traces::explain))
        .route("/v1/drivers/{driver}/logs", get(insight::logs))
        .route("/v1/drivers/{driver}/traces", get(traces::list))
        .route(
            "/v1/drivers/{driver}/traces/{request}",
            get(traces::inspect),
        )
        .route(
            "/v1/drivers/{driver}/traces/{request}/file",
            get(traces::export),
        )
}

/// What programs that watch the daemon ask for.
fn monitor_router() -> Router<Shared> {
    Router::new()
        .route("/metrics", get(monitor::metrics))
        .route("/healthz", get(monitor::healthz))
        .route("/readyz", get(monitor::readyz))
}

/// The interface for programs that watch the daemon: nothing of it tells an id or changes anything.
pub(crate) fn metrics_router(api: Arc<Api>) -> Router {
    monitor_router()
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(queries::layer))
        .layer(middleware::from_fn(host::check))
        .with_state(api)
}

/// What can be done to layers.
fn layers_router() -> Router<Shared> {
    Router::new()
        .route(
            "/v1/stores/{store}/layers",
            get(layers::list).post(layers::create),
        )
        .route(
            "/v1/stores/{store}/layers/{id}",
            get(layers::inspect).delete(layers::remove),
        )
        .route("/v1/stores/{store}/layers:lookup", post(layers::look_up))
        .route("/v1/stores/{store}/mounts", get(mounts::list))
        .route(
            "/v1/stores/{store}/layers/{id}/mount",
            get(mounts::inspect).post(mounts::mount),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/unmount",
            post(mounts::unmount),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/metadata",
            get(layers::metadata),
        )
        .route("/v1/stores/{store}/layers/{id}/usage", get(layers::usage))
        .route("/v1/stores/{store}/layers/{id}/verify", post(scrub::verify))
        .route(
            "/v1/stores/{store}/layers/{id}/repair",
            post(scrub::repair_from_stores)
                .merge(put(scrub::repair).layer(middleware::from_fn(stream))),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/diff",
            get(differences::diff)
                .put(differences::apply)
                .layer(middleware::from_fn(stream)),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/changes",
            get(changes::changes).layer(middleware::from_fn(stream)),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/files",
            get(files::list).layer(middleware::from_fn(stream)),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/origins",
            get(origins::list).layer(middleware::from_fn(stream)),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/content",
            get(files::content).layer(middleware::from_fn(stream)),
        )
        .route(
            "/v1/stores/{store}/layers/{id}/size",
            get(differences::size),
        )
}

/// The interface for TCP: the same, for requests that name this machine and come from whoever may ask.
pub(crate) fn tcp_router(api: Arc<Api>, access: Access) -> Router {
    let access = Arc::new(access);
    router(api)
        .layer(middleware::from_fn(queries::layer))
        .layer(middleware::from_fn_with_state(access, access::check))
        .layer(middleware::from_fn(host::check))
}

/// What is answered on the unix socket without the router.
pub(crate) const MANNERS: Manners = Manners {
    admit: queries::check,
    refuse: refused,
    defect: || Refusal::defect().into_response(),
};

/// What is answered on an address, where it is asked first who may ask.
pub(crate) const ADDRESS_MANNERS: Manners = Manners {
    admit: |_| None,
    ..MANNERS
};

/// The answer to a client for which there is no room.
fn refused(full: Full) -> Response {
    Refusal::from(full).into_response()
}

/// Counts a request as a stream of its client until its answer has been taken.
async fn stream(Extension(visitor): Extension<Visitor>, request: Request, next: Next) -> Response {
    match visitor.stream() {
        Ok(share) => next.run(request).await.map(|body| hold(body, share)),
        Err(full) => refused(full),
    }
}

async fn unknown_path(request: Request) -> Refusal {
    RequestError::UnknownPath(request.uri().path().to_owned()).into()
}

async fn method_not_allowed(request: Request) -> Refusal {
    let path = request.uri().path().to_owned();
    let method = request.method().to_string();
    RequestError::Method { path, method }.into()
}

/// Calls the engine, for which the client waits.
async fn call<T>(
    shared: Shared,
    work: impl FnOnce(&Engine) -> mica_engine::Result<T>,
) -> Result<T, Refusal> {
    call::call(Arc::clone(&shared.engine), work).await
}

/// Calls the engine for what ends when its client goes.
async fn call_apart<T: Send + 'static>(
    shared: Shared,
    cancel: CancelOnDrop,
    work: impl FnOnce(&Engine, &CancelToken) -> mica_engine::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    call::call_apart(Arc::clone(&shared.engine), cancel, work).await
}

/// The answer that something was made, which is at this path from now on.
fn made<T: Serialize>(location: &str, value: &T) -> Answer {
    let location = HeaderValue::from_str(location)
        .map_err(|error| RequestError::Internal(error.to_string()))?;
    let mut answer = answer(StatusCode::CREATED, value)?;
    answer.headers_mut().insert(header::LOCATION, location);
    Ok(answer)
}

/// A JSON answer.
fn answer<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let body =
        serde_json::to_vec(value).map_err(|error| RequestError::Internal(error.to_string()))?;
    let kind = HeaderValue::from_static("application/json");
    Ok((status, [(header::CONTENT_TYPE, kind)], body).into_response())
}
