//! `GET /metrics`, `/healthz` and `/readyz`: for programs that watch the daemon.
//!
//! Invariant: whether the daemon lives is answered without the engine, so that no operation can hold the answer up.

use super::{Answer, Shared, call};
use crate::api::metrics::{self, Process};
use crate::api::refusal::RequestError;
use crate::api::types::Problem;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;

/// Reasons that are told of a daemon that is not ready.
const TOLD_REASONS: usize = 16;

/// Tells what is measured, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "daemon", responses(
    (status = 200, description = "The numbers.", body = String, content_type = "text/plain; version=0.0.4"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(State(shared): State<Shared>) -> Answer {
    let figures = call(shared.clone(), |engine| Ok(engine.figures())).await?;
    let process = Process {
        uptime_seconds: shared.started.elapsed().as_secs_f64(),
        memory: (shared.memory)(),
        listeners: &shared.listeners,
    };
    let text = metrics::text(&process, shared.engine.calls(), &figures);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Says that the process lives, and nothing else.
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "daemon", responses(
    (status = 200, description = "It lives.", body = String, content_type = "text/plain"),
))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Says whether the daemon can serve all that it should: every store is open, its driver works on it and its rows can change, no
/// driver is quarantined for everyone, and the disk takes changes.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "daemon", responses(
    (status = 200, description = "It can.", body = String, content_type = "text/plain"),
    (status = 503, description = "It cannot; the detail says why.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn readyz(State(shared): State<Shared>) -> Answer {
    let mut reasons = call(shared, |engine| Ok(engine.unready())).await?;
    if reasons.is_empty() {
        return Ok("ok\n".into_response());
    }
    let more = reasons.len().saturating_sub(TOLD_REASONS);
    reasons.truncate(TOLD_REASONS);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    Err(RequestError::NotReady(reasons.join("; ")).into())
}
