//! Bounded channels between a guest's thread and whoever reads.
//!
//! Invariant: a thread that waits for the other side notices within milliseconds that its operation was cancelled.

use super::super::{HostError, meter};
use super::wait::Wait;
use crate::{Code, Failure};
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
                    "the client that reads the stream took nothing for {time:?}: `stream_idle_seconds`"
                );
                Failure::new(Code::TimedOut, text).into()
            }
            Refusal::Cancelled => Self::Trap(meter::Stop::Cancelled.into()),
            Refusal::Io(error) => Failure::from_io("write the stream", &error).into(),
        }
    }
}

/// Puts a value into a bounded channel from a thread that may block.
pub(super) fn send<T>(sender: &mpsc::Sender<T>, value: T, wait: &mut Wait) -> Result<(), Refusal> {
    match sender.try_send(value) {
        Ok(()) => Ok(()),
        Err(TrySendError::Closed(_)) => Err(Refusal::Closed),
        Err(TrySendError::Full(value)) => wait.during(|wait| send_later(sender, value, wait)),
    }
}

/// Waits in short naps, so that neither a cancelled operation nor a reader that stands still holds the thread.
fn send_later<T>(sender: &mpsc::Sender<T>, mut value: T, wait: &Wait) -> Result<(), Refusal> {
    let started = Instant::now();
    let mut nap = Duration::from_micros(50);
    loop {
        match sender.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Refusal::Closed),
            Err(TrySendError::Full(back)) => value = back,
        }
        if wait.cancel.is_cancelled() {
            return Err(Refusal::Cancelled);
        }
        if started.elapsed() > wait.idle {
            return Err(Refusal::Idle(wait.idle));
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(5));
    }
}
