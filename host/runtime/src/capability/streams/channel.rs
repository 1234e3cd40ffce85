//! Bounded channels between a guest's thread and whoever reads.
//!
//! A full channel parks its writer (backpressure). The reader, a cancellation, or the time limit of the stream wakes it; it
//! looks at nothing meanwhile. tokio has a send that blocks, but none with a limit, and a runtime's timers are no help:
//! the writer may be the last who uses that runtime.
//!
//! Invariant: a writer that waits ends as soon as its operation is cancelled, and at the latest with the stream's limit.

use super::super::{HostError, meter};
use super::wait::Wait;
use crate::{Code, Failure};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};

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
/// reader is slow.
fn send_later<T>(sender: &mpsc::Sender<T>, value: T, wait: &Wait) -> Result<(), Refusal> {
    let half = sender.max_capacity().div_ceil(2);
    for (places, patience) in [(half, SLOW_READER.min(wait.idle)), (1, wait.idle)] {
        let room = wait.cancel.unless_cancelled(sender.reserve_many(places));
        match block_on(room, patience) {
            None => {}
            Some(None) => return Err(Refusal::Cancelled),
            Some(Some(Err(_closed))) => return Err(Refusal::Closed),
            Some(Some(Ok(mut permits))) => {
                if let Some(permit) = permits.next() {
                    permit.send(value);
                }
                return Ok(());
            }
        }
    }
    Err(Refusal::Idle(wait.idle))
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, for at most `limit`.
fn block_on<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let started = Instant::now();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        // Polled before the clock is read: what became ready at the last moment still counts.
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        let left = limit.checked_sub(started.elapsed())?;
        // May return early, because others unpark threads too; then the future is polled once more.
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CancelToken;
    use std::future::poll_fn;

    /// Longer than any test waits.
    const LONG: Duration = Duration::from_secs(3600);

    fn wait(idle: Duration) -> Wait {
        let mut wait = Wait::default();
        wait.idle = idle;
        wait
    }

    #[test]
    fn a_full_channel_holds_its_writer_until_there_is_room() {
        let (sender, mut receiver) = mpsc::channel(1);
        let writer = std::thread::spawn(move || {
            let mut wait = wait(LONG);
            (0..1000).try_for_each(|number| send(&sender, number, &mut wait))
        });
        for number in 0..1000 {
            assert_eq!(receiver.blocking_recv(), Some(number));
        }
        writer.join().unwrap().unwrap();
        assert_eq!(receiver.blocking_recv(), None);
    }

    #[test]
    fn whatever_ends_the_wait_is_told_apart() {
        type End = fn(&CancelToken, mpsc::Receiver<u8>) -> Option<mpsc::Receiver<u8>>;
        let ends: [(Duration, End, &str); 3] = [
            (
                LONG,
                |_, receiver| {
                    drop(receiver);
                    None
                },
                "Closed",
            ),
            (
                LONG,
                |cancel, receiver| {
                    cancel.cancel();
                    Some(receiver)
                },
                "Cancelled",
            ),
            (
                Duration::from_millis(1),
                |_, receiver| Some(receiver),
                "Idle(1ms)",
            ),
        ];
        for (idle, end, expected) in ends {
            let (sender, receiver) = mpsc::channel(1);
            sender.try_send(0).unwrap();
            let mut of_writer = wait(idle);
            let cancel = of_writer.cancel.clone();
            let writer = std::thread::spawn(move || send(&sender, 1, &mut of_writer));
            let _kept = end(&cancel, receiver);
            let refusal = writer.join().unwrap().unwrap_err();
            assert_eq!(format!("{refusal:?}"), expected);
        }
    }

    #[test]
    fn a_future_is_polled_when_it_is_woken_and_not_before() {
        let mut polls = 0;
        let woken = poll_fn(|context| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(polls);
            }
            let waker = context.waker().clone();
            std::thread::spawn(move || waker.wake());
            Poll::Pending
        });
        assert_eq!(block_on(woken, LONG), Some(3));
        assert_eq!(
            block_on(poll_fn(|_| Poll::<()>::Pending), Duration::ZERO),
            None
        );
    }
}
