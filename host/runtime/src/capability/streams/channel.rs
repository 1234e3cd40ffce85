//! Bounded channels between a guest's thread and whoever reads.
//!
//! Invariant: a thread that waits for the other side notices within milliseconds that its operation was cancelled.

use super::super::{HostError, meter};
use super::wait::Wait;
use crate::{Code, Failure};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};

/// How often a wait looks whether its operation was cancelled.
const CANCEL_POLL_PERIOD: Duration = Duration::from_millis(5);

/// How long half of a channel may take to be read before its reader counts as slow.
const SLOW_READER: Duration = Duration::from_millis(20);

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

/// Waits until half of the channel is free, so that the two sides do not wake each other for each value; for one place, if the
/// reader is slow. Looks meanwhile whether the operation was cancelled or the reader stands still.
fn send_later<T>(sender: &mpsc::Sender<T>, value: T, wait: &Wait) -> Result<(), Refusal> {
    let started = Instant::now();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut places = sender.max_capacity().div_ceil(2);
    loop {
        let mut room = pin!(sender.reserve_many(places));
        let since = Instant::now();
        loop {
            match room.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(mut permits)) => {
                    if let Some(permit) = permits.next() {
                        permit.send(value);
                    }
                    return Ok(());
                }
                Poll::Ready(Err(_closed)) => return Err(Refusal::Closed),
                Poll::Pending if places > 1 && since.elapsed() > SLOW_READER => break,
                Poll::Pending => {}
            }
            if wait.cancel.is_cancelled() {
                return Err(Refusal::Cancelled);
            }
            if started.elapsed() > wait.idle {
                return Err(Refusal::Idle(wait.idle));
            }
            thread::park_timeout(CANCEL_POLL_PERIOD);
        }
        places = 1;
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
