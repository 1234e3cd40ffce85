//! Calls of the engine, and what becomes of a panic.
//!
//! A panic is a defect of this program. It ends the request that met it and nothing else: the client is told that much, the log
//! tells the rest (see `daemon::log`), and locks of the engine that were held are as good as before, because each of them is
//! taken whatever happened to the last holder.
//!
//! Invariant: every call of the engine that a request makes goes through here, and no text of a panic goes to a client.

use super::refusal::{Refusal, RequestError};
use axum::response::Response;
use mica_engine::{ClientCall, Error};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// What a client is told of a defect.
pub(in crate::api) const DEFECT: &str = "a defect ended this request; the daemon's log tells more";

impl Refusal {
    /// A panic ended the request.
    pub(in crate::api) fn defect() -> Self {
        RequestError::Internal(DEFECT.to_owned()).into()
    }
}

/// Calls the engine on this thread.
///
/// # Errors
/// Those of the engine, and the one that says that it panicked.
pub(in crate::api) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Refusal> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(Refusal::Engine),
        Err(_told_by_the_hook) => Err(Refusal::defect()),
    }
}

/// Work for the client's call that is being answered here, on whatever thread it is done; the time from now on until it is done
/// is that call's.
pub(in crate::api) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let (call, since) = (ClientCall::current(), Instant::now());
    move || {
        let Some(call) = call else {
            return work();
        };
        let done = call.within(work);
        call.worked(since.elapsed());
        done
    }
}

/// Calls the engine on a thread that may block; [`ended`] takes the outcome.
pub(in crate::api) fn dispatch<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> JoinHandle<Result<T, Refusal>> {
    spawn_blocking(carried(|| guarded(work)))
}

/// The outcome of a call that was dispatched.
pub(in crate::api) fn ended<T>(
    result: Result<Result<T, Refusal>, JoinError>,
) -> Result<T, Refusal> {
    // Without a panic, a call that was never begun is left: the daemon ends.
    result.unwrap_or_else(|error| Err(RequestError::Internal(error.to_string()).into()))
}

/// What a handler answers; if it panics, what `defect` makes of that.
pub(crate) async fn caught(
    handler: impl Future<Output = Response>,
    defect: impl FnOnce() -> Response,
) -> Response {
    let mut handler = pin!(handler);
    let answer = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Some(answer)),
            Err(_told_by_the_hook) => Poll::Ready(None),
        }
    });
    answer.await.unwrap_or_else(defect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;

    fn panics() -> Result<(), Error> {
        panic!("\u{1b}[31mtext of a stranger")
    }

    #[test]
    fn a_panic_becomes_a_refusal_without_its_text() {
        for told in [
            guarded(panics).unwrap_err(),
            runtime().block_on(async { ended(dispatch(panics).await).unwrap_err() }),
        ] {
            let told = told.to_string();
            assert_eq!(told, format!("the daemon broke: {DEFECT}"));
        }
        assert!(guarded(|| Ok(())).is_ok());
        let refused = guarded::<()>(|| Err(Error::Cancelled)).unwrap_err();
        assert!(matches!(refused, Refusal::Engine(Error::Cancelled)));
    }

    #[test]
    fn a_handler_that_panics_at_any_step_is_answered_for() {
        let defect = || "defect".into_response();
        let steps = |steps: u32| async move {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            panics()
                .map_or_else(|error| error.to_string(), |()| "fine".into())
                .into_response()
        };
        for count in 0..3 {
            let answer = runtime().block_on(caught(steps(count), defect));
            assert_eq!(body(answer), "defect");
        }
        let fine = runtime().block_on(caught(async { "fine".into_response() }, defect));
        assert_eq!(body(fine), "fine");
    }

    fn body(answer: Response) -> String {
        let body = axum::body::to_bytes(answer.into_body(), 100);
        String::from_utf8(runtime().block_on(body).unwrap().to_vec()).unwrap()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }
}
