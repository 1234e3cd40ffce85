//! Calls of the engine, for every protocol.
//!
//! The engine blocks: it locks, waits for the disk, runs drivers. A task that blocks keeps the worker that it is on, so it says so
//! before a call begins: then another thread takes over the worker with everything else that waits there. A call that is over
//! before that thread is awake has cost nothing. What only looks at memory is called without any of this.
//!
//! A connection that answers one request after another has nothing else to do meanwhile, so its own task makes the call. A call is
//! a task of its own where the connection has other requests to answer, or has to see that its client goes.
//!
//! Invariant: a call delays no other connection however long it takes.

use super::dispatch::{carried, ended, guarded};
use super::refusal::Refusal;
use super::stream::CancelOnDrop;
use mica_engine::{CancelToken, Engine, Result as EngineResult};
use std::sync::Arc;
use tokio::task::{JoinSet, block_in_place};

/// Calls the engine, which may take long, while the connection waits. It is over at the first poll.
///
/// # Errors
/// Those of the engine, and the daemon's own if the call panics.
pub(in crate::api) async fn call<T>(
    engine: Arc<Engine>,
    work: impl FnOnce(&Engine) -> EngineResult<T>,
) -> Result<T, Refusal> {
    block_in_place(carried(|| guarded(|| work(&engine))))
}

/// Calls the engine, which may take long, while the connection goes on. If its client goes, the work is cancelled, or does
/// not begin. [`call`] hands out no token: it is over before it can be dropped, so that nothing would ever cancel one.
///
/// # Errors
/// Those of the engine, and the daemon's own if the call panics.
pub(in crate::api) async fn call_apart<T: Send + 'static>(
    engine: Arc<Engine>,
    cancel: CancelOnDrop,
    work: impl FnOnce(&Engine, &CancelToken) -> EngineResult<T> + Send + 'static,
) -> Result<T, Refusal> {
    let token = cancel.token();
    // A set, because it drops what has not begun when it is dropped itself.
    let mut set = JoinSet::new();
    let work = carried(move || guarded(|| work(&engine, &token)));
    set.spawn(async move { block_in_place(work) });
    match set.join_next().await {
        Some(result) => ended(result),
        None => Err(Refusal::Engine(mica_engine::Error::Cancelled)),
    }
}
