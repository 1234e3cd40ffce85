//! Waits of a stream for its client.
//!
//! Invariant: such a wait has the stream's own limit and no other; the time is noted, so that the deadline of the
//! operation can do without it.

use crate::{CancelToken, ClientWait, Operation};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a stream may stand still before it is bound to an operation.
const UNBOUND_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How a stream waits, and how long it did.
pub(crate) struct Wait {
    pub(super) idle: Duration,
    pub(super) cancel: CancelToken,
    told: Option<Arc<dyn ClientWait>>,
    spent: Duration,
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("idle", &self.idle)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self {
            idle: UNBOUND_IDLE_TIMEOUT,
            cancel: CancelToken::default(),
            told: None,
            spent: Duration::ZERO,
        }
    }
}

impl Wait {
    /// As the stream of an operation, which may stand still for `idle`.
    pub(crate) fn of(operation: &Operation, idle: Duration) -> Self {
        Self {
            idle,
            cancel: operation.cancel.clone(),
            told: operation.client_wait.clone(),
            spent: Duration::ZERO,
        }
    }

    /// Does what waits for the client.
    pub(super) fn during<T>(&mut self, work: impl FnOnce(&Self) -> T) -> T {
        let started = Instant::now();
        if let Some(told) = &self.told {
            told.begin();
        }
        let done = work(self);
        if let Some(told) = &self.told {
            told.end(&self.cancel);
        }
        self.spent += started.elapsed();
        done
    }

    /// The time that was waited since this was asked last.
    pub(super) fn take_spent(&mut self) -> Duration {
        std::mem::take(&mut self.spent)
    }
}
