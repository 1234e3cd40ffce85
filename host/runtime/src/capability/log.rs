//! `mica:host/log`: the driver's log.
//!
//! Invariant: a line of a driver's can neither end the line nor look like the host's: it is escaped and prefixed.

use super::State;
use crate::SafeText;
use crate::bindings::mica::host::log::{self as wit, Level};
use crate::witness::LineSource;

impl wit::Host for State {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.meter.count_question()?;
        let line = SafeText::line(&message);
        let source = match level {
            Level::Debug => LineSource::Debug,
            Level::Info => LineSource::Info,
            Level::Warn => LineSource::Warn,
            Level::Error => LineSource::Error,
        };
        if !self.voice.log(source, &message) || !self.journal.admits(&self.driver, &line) {
            return Ok(());
        }
        let (driver, store, operation) =
            (&*self.driver, &*self.operation.store, self.operation.name);
        match level {
            Level::Debug => {
                tracing::debug!(target: "mica::driver", driver, store, operation, "{line}")
            }
            Level::Info => {
                tracing::info!(target: "mica::driver", driver, store, operation, "{line}")
            }
            Level::Warn => {
                tracing::warn!(target: "mica::driver", driver, store, operation, "{line}")
            }
            Level::Error => {
                tracing::error!(target: "mica::driver", driver, store, operation, "{line}")
            }
        }
        Ok(())
    }
}
