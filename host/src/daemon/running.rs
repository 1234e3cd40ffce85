//! Requests that run on a connection with many at once: when it may be closed without asking its client.
//!
//! Invariant: a request runs until the last of its answer was taken or its client has gone.

use axum::body::{Body, Bytes};
use axum::http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;

/// Counts the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Running(Arc<watch::Sender<usize>>);

/// A request that runs.
#[derive(Debug)]
pub(super) struct Run(Arc<watch::Sender<usize>>);

/// The body of an answer, with what counts it.
struct Counted {
    body: Body,
    _run: Run,
}

impl Running {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Counts a request.
    pub(super) fn begin(&self) -> Run {
        self.0.send_modify(|count| *count += 1);
        Run(Arc::clone(&self.0))
    }

    /// Waits until no request runs.
    pub(super) async fn idle(&self) {
        // Its sender is here, so it does not end without an answer.
        let _none = self
            .0
            .subscribe()
            .wait_for(|count| *count == 0)
            .await
            .map(drop);
    }
}

impl Run {
    /// Goes on until this answer has been taken.
    pub(super) fn until_taken(self, answer: Response<Body>) -> Response<Body> {
        answer.map(|body| Body::new(Counted { body, _run: self }))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_request_runs_until_its_answer_goes() {
        let running = Running::new();
        let is_idle = || tokio::time::timeout(Duration::from_millis(20), running.idle());
        is_idle().await.unwrap();
        let answer = running.begin().until_taken(Response::new(Body::from("x")));
        assert!(is_idle().await.is_err());
        let taken = axum::body::to_bytes(answer.into_body(), 10).await.unwrap();
        assert_eq!(taken, "x");
        is_idle().await.unwrap();
    }
}
