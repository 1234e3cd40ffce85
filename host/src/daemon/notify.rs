//! What a service manager is told: sd_notify(3).
//!
//! Invariant: nothing is told without `NOTIFY_SOCKET`, and no failure to tell stops the daemon.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;
use tower::ServiceExt as _;

/// What the daemon asks itself before it says that it lives: it takes the engine to answer.
const QUESTION: &str = "/v1/status";

/// Whoever started the daemon, if it wants to know.
#[derive(Debug)]
pub(super) struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// Finds it by the environment.
    pub(super) fn find() -> Self {
        let address = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        if address.is_empty() {
            return Self(None);
        }
        let open = || -> io::Result<_> {
            let address = match address.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(&address)?,
            };
            Ok((UnixDatagram::unbound()?, address))
        };
        match open() {
            Ok(manager) => Self(Some(manager)),
            Err(error) => {
                tracing::warn!(%error, address, "the service manager is not told anything");
                Self(None)
            }
        }
    }

    /// Every socket is answered on.
    pub(super) fn ready(&self, socket: &Path, stores: usize) {
        let socket = socket.display();
        self.tell(&format!(
            "READY=1\nSTATUS=Answers on {socket}, with {stores} stores"
        ));
    }

    /// No new connection is taken.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Waits for the last requests");
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::warn!(%error, text, "tell the service manager");
        }
    }

    /// Says again and again that the daemon lives, as often as the manager wants to hear it: each time only after the
    /// interface has answered. Never ends if it is to be said.
    pub(super) async fn beat(&self, router: Router) {
        let Some(period) = period() else { return };
        // Twice as often as is needed, as the manual says.
        let mut beat = tokio::time::interval(period / 2);
        loop {
            beat.tick().await;
            let question = Request::get(QUESTION).body(Body::empty());
            let Ok(question) = question else { return };
            let answered = tokio::time::timeout(period, router.clone().oneshot(question)).await;
            match answered {
                Ok(Ok(answer)) if answer.status().is_success() => self.tell("WATCHDOG=1"),
                Ok(Ok(answer)) => {
                    tracing::warn!(status = %answer.status(), "the daemon does not tell its state");
                }
                Ok(Err(never)) => match never {},
                Err(_) => tracing::warn!(?period, "the daemon does not answer itself"),
            }
        }
    }
}

/// How often the manager must hear that the daemon lives.
fn period() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0)?;
    Some(Duration::from_micros(micros))
}
