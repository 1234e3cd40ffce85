//! Requests that run on a connection with many at once: when it may be closed without asking its client.
//!
//! Invariant: a request runs until the last of its answer was taken or its client has gone.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Counts the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Running(Arc<watch::Sender<Count>>);

/// How many requests there are.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    running: usize,
    begun: u64,
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Run(Arc<watch::Sender<Count>>);

impl Running {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Count::default())))
    }

    /// Counts a request.
    pub(super) fn begin(&self) -> Run {
        self.0.send_modify(|count| {
            count.running += 1;
            count.begun += 1;
        });
        Run(Arc::clone(&self.0))
    }

    /// Waits until no request runs.
    pub(super) async fn idle(&self) {
        // Its sender is here, so it does not end without an answer.
        let _none = self
            .0
            .subscribe()
            .wait_for(|count| count.running == 0)
            .await
            .map(drop);
    }

    /// Waits for as long as this and then returns, if no request begins meanwhile; never returns once one has begun.
    pub(super) async fn silent_for(&self, limit: Duration) {
        let mut count = self.0.subscribe();
        let begun = count.wait_for(|count| count.begun > 0);
        if tokio::time::timeout(limit, begun).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.0.send_modify(|count| count.running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for anything that is ready, short enough to wait for it to pass.
    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_connection_is_idle_while_no_request_runs() {
        let running = Running::new();
        running.idle().await;
        let run = running.begin();
        let is_idle = tokio::time::timeout(MOMENT, running.idle()).await;
        assert!(is_idle.is_err());
        drop(run);
        running.idle().await;
    }

    #[tokio::test]
    async fn only_a_connection_that_never_asked_is_silent() {
        let running = Running::new();
        running.silent_for(MOMENT).await;
        drop(running.begin());
        let is_silent = tokio::time::timeout(3 * MOMENT, running.silent_for(MOMENT)).await;
        assert!(is_silent.is_err());
    }
}
