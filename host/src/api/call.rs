//! Calls of the engine, for every protocol.
//!
//! The engine blocks: it locks, waits for the disk, runs drivers. A task that blocks keeps the worker that it is on, so a call
//! that may wait is a task of its own that says so before it begins: then another thread takes over the worker with everything
//! else that waits there. A call that is over before that thread is awake has cost nothing. What only looks at memory is
//! called without any of this.
//!
//! Invariant: a call delays no other task however long it takes, and one whose client has gone before it began does not begin.

use super::dispatch::{carried, ended, guarded};
use super::refusal::Refusal;
use mica_engine::{Engine, Result as EngineResult};
use std::sync::Arc;
use tokio::task::{JoinSet, block_in_place};

/// Calls the engine, which may take long.
///
/// # Errors
/// Those of the engine, and the daemon's own if the call panics.
pub(in crate::api) async fn call<T: Send + 'static>(
    engine: Arc<Engine>,
    work: impl FnOnce(&Engine) -> EngineResult<T> + Send + 'static,
) -> Result<T, Refusal> {
    // A set, because it drops what has not begun when it is dropped itself.
    let mut set = JoinSet::new();
    let work = carried(move || guarded(|| work(&engine)));
    set.spawn(async move { block_in_place(work) });
    match set.join_next().await {
        Some(result) => ended(result),
        None => Err(Refusal::Engine(mica_engine::Error::Cancelled)),
    }
}
