//! The clock of the sandbox: it advances wasmtime's epoch, so that a guest that computes without end is interrupted.
//!
//! The clock rests while no operation runs, because a thread that wakes a hundred times a second keeps an idle machine
//! from saving power.
//!
//! Invariant: while an operation runs, the epoch advances.

use crate::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use wasmtime::Engine;

/// Time between two ticks: how late a stuck guest is noticed.
const TICK: Duration = Duration::from_millis(10);
/// Ticks without an operation before the clock rests: to wake it costs the next operation a system call.
const TICKS_BEFORE_REST: u32 = 20;

/// Counts operations, and ticks while there are any.
#[derive(Debug)]
pub(super) struct Clock {
    counter: Counter,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    begun: AtomicU64,
    ended: AtomicU64,
    is_resting: AtomicBool,
    stop: AtomicBool,
}

/// Begins operations on a clock.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    shared: Arc<Shared>,
    thread: Thread,
}

/// An operation that runs; it ends on drop.
#[derive(Debug)]
pub(super) struct Running(Arc<Shared>);

impl Clock {
    /// Starts the clock of an engine.
    pub(super) fn start(engine: &Engine) -> Result<Self, Error> {
        let shared = Arc::<Shared>::default();
        let (engine, of_thread) = (engine.clone(), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("mica-epoch".into())
            .spawn(move || of_thread.tick(|| engine.increment_epoch()))
            .map_err(|error| Error::runtime("start the epoch thread", error))?;
        Ok(Self::of(shared, thread))
    }

    fn of(shared: Arc<Shared>, thread: JoinHandle<()>) -> Self {
        let counter = Counter {
            shared,
            thread: thread.thread().clone(),
        };
        let thread = Some(thread);
        Self { counter, thread }
    }

    /// What begins operations.
    pub(super) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// Operations that were begun, and those that run.
    pub(super) fn operations(&self) -> (u64, u64) {
        self.counter.shared.counts()
    }
}

impl Counter {
    /// Begins an operation.
    pub(super) fn begin(&self) -> Running {
        // In one order with what `rest` does: either it sees this operation, or this sees that the clock rests.
        self.shared.begun.fetch_add(1, Ordering::SeqCst);
        if self.shared.is_resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn counts(&self) -> (u64, u64) {
        // The ends first: an operation that ends meanwhile counts as one that runs, and never the other way round.
        let ended = self.ended.load(Ordering::SeqCst);
        let begun = self.begun.load(Ordering::SeqCst);
        (begun, begun.saturating_sub(ended))
    }

    fn tick(&self, advance: impl Fn()) {
        let mut idle_ticks = 0;
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            advance();
            idle_ticks = match self.counts() {
                (_, 0) => idle_ticks + 1,
                _ => 0,
            };
            if idle_ticks >= TICKS_BEFORE_REST {
                self.rest();
                idle_ticks = 0;
            }
        }
    }

    fn rest(&self) {
        self.is_resting.store(true, Ordering::SeqCst);
        while self.counts().1 == 0 && !self.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.is_resting.store(false, Ordering::SeqCst);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.counter.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of that thread has been reported by itself.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Waits until the clock rests, and as long as that takes on a busy machine.
    fn wait(mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it never is");
            std::thread::sleep(TICK);
        }
    }

    #[test]
    fn the_clock_ticks_while_an_operation_runs_and_rests_afterwards() {
        let (shared, ticks) = (Arc::<Shared>::default(), Arc::<AtomicU64>::default());
        let (of_thread, counted) = (Arc::clone(&shared), Arc::clone(&ticks));
        let advance = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let thread = std::thread::spawn(move || of_thread.tick(advance));
        let clock = Clock::of(Arc::clone(&shared), thread);
        let counter = clock.counter();
        let is_resting = || shared.is_resting.load(Ordering::SeqCst);
        for round in 1..4 {
            wait(is_resting);
            let before = ticks.load(Ordering::SeqCst);
            let (first, second) = (counter.begin(), counter.begin());
            drop(first);
            wait(|| ticks.load(Ordering::SeqCst) > before + u64::from(2 * TICKS_BEFORE_REST));
            assert!(!is_resting(), "an operation runs");
            assert_eq!(shared.counts(), (2 * round, 1));
            drop(second);
        }
        wait(is_resting);
        drop(clock);
    }
}
