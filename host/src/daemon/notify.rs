//! What a service manager is told: sd_notify(3).
//!
//! Invariant: nothing is told without `NOTIFY_SOCKET`, and no failure to tell stops the daemon.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use sd_notify::NotifyState;
use std::path::Path;
use tower::ServiceExt as _;

/// What the daemon asks itself before it says that it lives: it takes the engine to answer.
const QUESTION: &str = "/v1/status";

/// Every socket is answered on.
pub(super) fn ready(socket: &Path, stores: usize) {
    let status = format!("Answers on {}, with {stores} stores", socket.display());
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// No new connection is taken.
pub(super) fn stopping() {
    let status = "Waits for the last requests";
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// The configuration is being read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "tell the service manager"),
    }
}

/// It was read.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, ?states, "tell the service manager");
    }
}

/// Says again and again that the daemon lives, as often as the manager wants to hear it: each time only after the
/// interface has answered. Never ends if it is to be said.
pub(super) async fn beat(router: Router) {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else {
        return;
    };
    // Twice as often as is needed, as the manual says.
    let mut beat = tokio::time::interval(period / 2);
    loop {
        beat.tick().await;
        let question = Request::get(QUESTION).body(Body::empty());
        let Ok(question) = question else { return };
        // A task of its own: the answer blocks the task that asks, and whoever beats also waits for signals.
        let answer = tokio::spawn(router.clone().oneshot(question));
        match tokio::time::timeout(period, answer).await {
            Ok(Ok(Ok(answer))) if answer.status().is_success() => tell(&[NotifyState::Watchdog]),
            Ok(Ok(Ok(answer))) => {
                tracing::warn!(status = %answer.status(), "the daemon does not tell its state");
            }
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(error)) => tracing::warn!(%error, "the daemon does not tell its state"),
            Err(_) => tracing::warn!(?period, "the daemon does not answer itself"),
        }
    }
}
