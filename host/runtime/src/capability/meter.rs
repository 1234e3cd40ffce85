//! What one operation has used.
//!
//! Invariant: counts only; the numbers it counts against are `Limits`.

use crate::limits::{Class, Limits};
use mica_sys::thread_cpu_time;
use std::time::{Duration, Instant};
use wasmtime::ResourceLimiter;

/// Why the sandbox ended an operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The caller asked for it.
    #[error("cancelled")]
    Cancelled,
    /// The class's wall-clock time is over.
    #[error("it ran longer than {0:?}")]
    Deadline(Duration),
    /// The guest computed, or slept, without a host call.
    #[error("it was busy with itself and made no host call for {0:?}: `stall_seconds`")]
    Stalled(Duration),
    /// Too many host calls.
    #[error("it made more than {0} host calls: `short_host_calls`")]
    Calls(u64),
    /// Too much guest memory, or too many table elements.
    #[error("it asked for more than {0} bytes of memory: `memory_bytes`")]
    Memory(usize),
}

/// How much of its memory a guest must have been given as input before its input explains that the memory is full:
/// what comes in is kept in parts, and in a form that is several times larger.
const FED_DIVISOR: usize = 16;

/// Host calls, input and time.
#[derive(Debug)]
pub(crate) struct Meter {
    calls: u64,
    most_calls: u64,
    questions: u64,
    most_questions: u64,
    started: Instant,
    deadline: Duration,
    /// Time that went by while the client neither sent nor took anything: no part of the deadline.
    waited: Duration,
    stall: Duration,
    seen_calls: u64,
    /// The guest's own time when a host call was seen last.
    seen_own: Duration,
    /// Processor time of the thread before the operation.
    cpu_before: Duration,
    /// Time that the guest slept of its own will.
    slept: Duration,
    /// Bytes of layers and archives that the guest was given.
    fed: u64,
    fed_much: u64,
    listing_left: usize,
}

impl Meter {
    pub(crate) fn new(limits: &Limits, class: Class) -> Self {
        Self {
            calls: 0,
            most_calls: class.host_calls(limits),
            questions: 0,
            most_questions: limits.short_host_calls,
            started: Instant::now(),
            deadline: class.deadline(limits),
            waited: Duration::ZERO,
            stall: Duration::from_secs(limits.stall_seconds),
            seen_calls: 0,
            seen_own: Duration::ZERO,
            cpu_before: thread_cpu_time(),
            slept: Duration::ZERO,
            fed: 0,
            fed_much: (limits.memory_bytes / FED_DIVISOR) as u64,
            listing_left: limits.listing_bytes,
        }
    }

    pub(crate) fn count_call(&mut self) -> Result<(), Stop> {
        self.calls += 1;
        if self.calls > self.most_calls {
            Err(Stop::Calls(self.most_calls))
        } else {
            Ok(())
        }
    }

    /// Counts a call that goes to no handle, and so is no progress.
    pub(crate) fn count_question(&mut self) -> Result<(), Stop> {
        self.questions += 1;
        if self.questions > self.most_questions {
            Err(Stop::Calls(self.most_questions))
        } else {
            Ok(())
        }
    }

    /// Host calls that were made.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Called at each tick while the guest computes.
    pub(crate) fn tick(&mut self) -> Result<(), Stop> {
        if self.started.elapsed().saturating_sub(self.waited) > self.deadline {
            return Err(Stop::Deadline(self.deadline));
        }
        let own = self.own_time();
        if self.calls != self.seen_calls {
            self.seen_calls = self.calls;
            self.seen_own = own;
        // Calls are progress, whatever they take: only a guest that makes none can be stuck in itself.
        } else if own.saturating_sub(self.seen_own) > self.stall {
            return Err(Stop::Stalled(self.stall));
        }
        Ok(())
    }

    /// Time that the guest had for itself. Not the clock's: on a busy machine that goes on while the guest does not.
    pub(crate) fn own_time(&self) -> Duration {
        thread_cpu_time().saturating_sub(self.cpu_before) + self.slept
    }

    /// Notes that the guest sleeps of its own will.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.slept += time;
    }

    /// Notes that the operation waited for its client.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Notes that the guest was given bytes of a layer or an archive.
    pub(crate) fn feed(&mut self, bytes: usize) {
        self.fed = self.fed.saturating_add(bytes as u64);
    }

    /// Whether the guest was given so much that its input may be why it needs much.
    pub(crate) fn was_fed(&self) -> bool {
        self.fed >= self.fed_much
    }

    /// Whether half of the deadline was the guest's own time.
    pub(crate) fn was_busy(&self) -> bool {
        self.own_time() >= self.deadline / 2
    }

    /// How many bytes of names a listing may read at once: what is left is for listings within it.
    pub(crate) fn listing_run(&self) -> usize {
        // Half, because a walk that compares two trees lists a directory within each directory that it is in.
        self.listing_left / 2
    }

    /// Takes a listing's names from the budget.
    pub(crate) fn take_listing(&mut self, bytes: usize) {
        self.listing_left = self.listing_left.saturating_sub(bytes);
    }

    /// Gives them back when they are read.
    pub(crate) fn give_listing(&mut self, bytes: usize) {
        self.listing_left += bytes;
    }
}

/// Guest memory, summed over all memories and tables of all instances of the operation.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes: usize,
    most_bytes: usize,
    elements: usize,
    most_elements: usize,
    refused: bool,
}

impl MemoryBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes: 0,
            most_bytes: limits.memory_bytes,
            elements: 0,
            most_elements: limits.table_elements,
            refused: false,
        }
    }

    /// What the guest has, which is also the most that it had: memory of WebAssembly never shrinks.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The limit, if the guest ever asked for more: a trap after that is about memory.
    pub(crate) fn exceeded(&self) -> Option<Stop> {
        self.refused.then_some(Stop::Memory(self.most_bytes))
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_add(desired.saturating_sub(current));
        if total > self.most_bytes {
            self.refused = true;
            return Ok(false);
        }
        self.bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if total > self.most_elements {
            self.refused = true;
            return Ok(false);
        }
        self.elements = total;
        Ok(true)
    }
}
