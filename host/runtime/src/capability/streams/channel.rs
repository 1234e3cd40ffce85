//! Bounded channels between a guest's thread and whoever reads.
//!
//! Invariant: a thread that waits for the other side notices within milliseconds that its operation was cancelled.

use super::super::{HostError, meter};
use crate::{CancelToken, Code, Failure};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Why nothing more can be handed on.
#[derive(Debug)]
pub(super) enum Refusal {
    Closed,
    Idle(Duration),
    Cancelled,
    Io(io::Error),
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => {
                Failure::new(Code::Closed, "the reader of the stream has gone").into()
            }
            Refusal::Idle(time) => {
                let text = format!(
                    "the reader of the stream took nothing for {time:?}: `stream_idle_seconds`"
                );
                Failure::new(Code::TimedOut, text).into()
            }
            Refusal::Cancelled => Self::Trap(meter::Stop::Cancelled.into()),
            Refusal::Io(error) => Failure::from_io("write the stream", &error).into(),
        }
    }
}

/// Puts a value into a bounded channel from a thread that may block. Waits in short naps, so that neither a
/// cancelled operation nor a reader that stands still holds the thread.
pub(super) fn send<T>(
    sender: &mpsc::Sender<T>,
    mut value: T,
    idle: Duration,
    cancel: &CancelToken,
) -> Result<(), Refusal> {
    let started = Instant::now();
    let mut nap = Duration::from_micros(50);
    loop {
        match sender.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Refusal::Closed),
            Err(TrySendError::Full(back)) => value = back,
        }
        if cancel.is_cancelled() {
            return Err(Refusal::Cancelled);
        }
        if started.elapsed() > idle {
            return Err(Refusal::Idle(idle));
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(5));
    }
}
