//! SIGHUP: the configuration is read again.
//!
//! What is logged changes at once. Everything else was built when the daemon started, and what differs is told: it counts from the next
//! start on.
//!
//! Invariant: a configuration that is wrong changes nothing.

use super::{Config, log::Log, notify};
use crate::config::Flags;
use tokio::signal::unix::Signal;

/// Reads the configuration again at each signal, for good.
pub(super) async fn at_each(mut hangup: Signal, flags: Flags, started_with: &Config, log: &Log) {
    let mut logged = started_with.log.clone();
    while hangup.recv().await.is_some() {
        notify::reloading();
        let flags = flags.clone();
        // It reads files, which may lie anywhere.
        let read = tokio::task::spawn_blocking(move || Config::load(flags)).await;
        match read {
            Ok(Ok(config)) => {
                if config.log != logged {
                    match log.change(&config.log) {
                        Ok(()) => logged.clone_from(&config.log),
                        Err(error) => tracing::error!(%error, "the log is as before"),
                    }
                }
                let waits = config.differences(started_with);
                tracing::info!(log = %logged, "read the configuration again");
                if !waits.is_empty() {
                    let settings = waits.join(", ");
                    tracing::warn!(%settings, "settings that are others now count from the next start on");
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the configuration is as before"),
            Err(error) => tracing::error!(%error, "read the configuration"),
        }
        notify::reloaded();
    }
    // There will be no more.
    std::future::pending().await
}
