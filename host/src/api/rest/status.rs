//! `GET /v1/status`.
//!
//! Invariant: tells what is there; changes nothing.

use super::{Answer, Shared, answer, call};
use crate::api::types::{Problem, RuntimeView, StatusView};
use axum::extract::State;
use axum::http::StatusCode;
use mica_engine::{Durability, EngineStatus};
use std::sync::Arc;

/// Tells what the daemon is, has and does.
#[utoipa::path(get, path = "/v1/status", operation_id = "get_status", tag = "daemon", responses(
    (status = 200, description = "The state.", body = StatusView),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn status(State(shared): State<Shared>) -> Answer {
    let sandbox = Arc::clone(&shared.runtime);
    let told = call(shared.clone(), move |engine| {
        // The first time this starts a process.
        let lacks = sandbox.confinement_lacks();
        let sandbox = RuntimeView::new(sandbox.facts(), lacks);
        Ok((engine.status(), sandbox))
    });
    let (engine, sandbox) = told.await?;
    answer(StatusCode::OK, &view(&shared, engine, sandbox))
}

fn view(shared: &Shared, engine: EngineStatus, runtime: RuntimeView) -> StatusView {
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: shared.started.elapsed().as_secs(),
        root: engine.root.display().to_string(),
        run_dir: engine.run_dir.display().to_string(),
        durability: match engine.durability {
            Durability::Commit => "commit",
            Durability::None => "none",
        }
        .to_owned(),
        stores: engine.stores,
        drivers: engine.drivers,
        layers: engine.layers,
        mounts: engine.mounts,
        running: engine.running,
        operations: engine.operations,
        faults: engine.faults,
        kernel: shared.kernel.clone(),
        runtime,
        memory: (shared.memory)(),
        confinement: shared.confinement.clone(),
        problems: engine.problems,
    }
}
