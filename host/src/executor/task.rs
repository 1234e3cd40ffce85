//! Tasks.
//!
//! Invariant: the state says who has the future; what wakes a task changes the state and no more.

use super::Executor;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Waits to be woken.
const IDLE: u8 = 0;
/// Is in the queue.
const QUEUED: u8 = 1;
/// Runs.
const RUNNING: u8 = 2;
/// Runs, and was woken meanwhile.
const WOKEN: u8 = 3;
/// Has ended.
const ENDED: u8 = 4;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task.
pub(super) struct Task {
    executor: Arc<Executor>,
    state: AtomicU8,
    future: Mutex<Option<Boxed>>,
    is_cancelled: AtomicBool,
}

impl fmt::Debug for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Task")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Task {
    /// A task that is to be put into the queue.
    pub(super) fn new(executor: &Arc<Executor>, future: Boxed) -> Arc<Self> {
        Arc::new(Self {
            executor: Arc::clone(executor),
            state: AtomicU8::new(QUEUED),
            future: Mutex::new(Some(future)),
            is_cancelled: AtomicBool::new(false),
        })
    }

    /// Runs until it waits or ends. Only for one that was in the queue.
    pub(super) fn run(self: Arc<Self>) {
        self.state.store(RUNNING, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self));
        let is_over = self.poll(&mut Context::from_waker(&waker));
        if is_over {
            self.state.store(ENDED, Ordering::SeqCst);
            self.executor.task_ended();
            return;
        }
        if self.change(RUNNING, IDLE) {
            return;
        }
        self.state.store(QUEUED, Ordering::SeqCst);
        Arc::clone(&self.executor).push(self);
    }

    /// Says whether the future has ended; it is gone then.
    fn poll(&self, context: &mut Context<'_>) -> bool {
        let mut held = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = held.as_mut() else {
            return true;
        };
        // What breaks has said so itself, and is over.
        let is_over = self.is_cancelled.load(Ordering::SeqCst)
            || catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)))
                .map_or(true, |polled| polled == Poll::Ready(()));
        if is_over {
            let ended = held.take();
            drop(held);
            // What breaks here has said so as well.
            let _broken = catch_unwind(AssertUnwindSafe(|| drop(ended)));
        }
        is_over
    }

    /// What runs it.
    pub(super) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Makes it end without its result.
    pub(super) fn cancel(self: &Arc<Self>) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        self.wake_by_ref();
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Drop for Task {
    /// One that no one can wake any more is over as well.
    fn drop(&mut self) {
        if *self.state.get_mut() != ENDED {
            self.executor.task_ended();
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        loop {
            if self.change(IDLE, QUEUED) {
                return self.executor.push(Arc::clone(self));
            }
            // One that just became idle is tried again.
            if self.change(RUNNING, WOKEN) || self.state.load(Ordering::SeqCst) != IDLE {
                return;
            }
        }
    }
}
