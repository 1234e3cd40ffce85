//! Calls that the running build answers are asked of another build as well, before that takes its place.
//!
//! Invariant: the client's answer is that of the running build, and it waits for nothing more; what cannot be compared at
//! once is left out.

use super::ask::Pair;
use super::question::{Asked, Compared, Difference};
use super::{Drivers, Slot};
use crate::{Error, Result};
use mica_runtime::CancelToken;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Calls that wait to be compared; more are left out.
const WAITING: usize = 64;
/// How long a number of calls is waited for.
const LONGEST: Duration = Duration::from_secs(600);
/// How long the call that is compared may hold its layer still: it is about to end.
const LAYER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one that waits for calls looks whether it was cancelled.
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// For how long calls are asked of both builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shadow {
    /// Until so many were compared.
    Calls(u64),
    /// For so long, however many come.
    Time(Duration),
}

impl Drivers<'_> {
    /// Has calls of the running build asked of the new one too; says how many were compared.
    ///
    /// # Errors
    /// [`Error::DriverRejected`] for the first answer that differs; [`Error::TimedOut`] when too few calls come;
    /// [`Error::Cancelled`].
    pub(super) fn shadow(
        self,
        slot: &Slot,
        pair: Pair<'_>,
        shadow: Shadow,
        cancel: &CancelToken,
    ) -> Result<u64> {
        let (sender, calls) = mpsc::sync_channel(WAITING);
        let _open = slot.open_shadow(sender);
        let (most, time) = match shadow {
            Shadow::Calls(count) => (count, LONGEST),
            Shadow::Time(time) => (u64::MAX, time),
        };
        let until = Instant::now() + time;
        let mut count = 0;
        while count < most {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match calls.recv_timeout(left.min(POLL_PERIOD)) {
                Ok(asked) => match self.compared(&asked, pair) {
                    Compared::Same(_) => count += 1,
                    Compared::Nothing => {}
                    Compared::Otherwise(difference) => return Err(rejected(&asked, &difference)),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match shadow {
            Shadow::Calls(wanted) if count < wanted => Err(Error::TimedOut(format!(
                "shadow driver `{}`: {count} of {wanted} calls that can be compared came within {LONGEST:?}; nothing was changed",
                slot.name
            ))),
            _ => Ok(count),
        }
    }

    /// Compares what two builds answer to a call.
    pub(super) fn compared(self, asked: &Asked, pair: Pair<'_>) -> Compared {
        let Pair {
            old,
            new,
            agreement,
        } = pair;
        match self.engine.store(&asked.store) {
            Ok(open) => asked.compare(&open.store, old, new, (agreement, LAYER_TIMEOUT)),
            Err(_gone) => Compared::Nothing,
        }
    }
}

fn rejected(asked: &Asked, difference: &Difference) -> Error {
    let Asked {
        store,
        layer,
        question,
    } = asked;
    let (call, what) = (question.name(), &difference.what);
    Error::DriverRejected {
        reason: format!(
            "it answers `{call}` of layer `{layer}` of store `{store}` otherwise: {what}"
        ),
        remedy: "the running build stays; repair the new one and swap again".to_owned(),
    }
}
