//! When the host calls of an operation began and how long they took, for whoever draws them on a line of time.
//!
//! It is apart from the tape, because a trace that is replayed must not depend on a clock, and because either may be off.
//!
//! Invariant: it has a bound; of an operation that makes more calls the first are kept and the others are counted.

use super::codec::Taped as _;
use super::{Code, boundary, name_of};
use std::time::{Duration, Instant};

/// The times of an operation's host calls.
#[derive(Clone, Debug)]
pub struct Times {
    /// When the measuring began: what the calls count from.
    pub began: Instant,
    /// Host calls that were made, without the ends of handles.
    pub made: u64,
    /// The first of them, in their order.
    pub calls: Vec<TimedCall>,
    most: usize,
    /// Whether the last call that is kept has no end yet.
    is_open: bool,
}

/// The time of a host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedCall {
    function: u8,
    end: End,
    /// When it began, from the beginning of the measuring on.
    pub after: Duration,
    /// How long it took; zero for one that has no end, because the sandbox ended the operation.
    pub took: Duration,
}

/// How a host call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The guest has its answer.
    Answered,
    /// The guest was told of a failure.
    Failed(Code),
    /// The operation ended with it.
    Ended,
}

impl Times {
    /// For the first `most` calls of an operation that begins now.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            began: Instant::now(),
            made: 0,
            calls: Vec::new(),
            most,
            is_open: false,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, function: u8) {
        // Nobody waits for the end of a handle.
        if boundary::is_drop(function) {
            return;
        }
        self.made += 1;
        self.is_open = self.calls.len() < self.most;
        if !self.is_open {
            return;
        }
        self.calls.push(TimedCall {
            function,
            end: End::Ended,
            after: self.began.elapsed(),
            took: Duration::ZERO,
        });
    }

    /// The call that began last ends.
    pub(crate) fn end(&mut self, end: End) {
        // Calls do not overlap.
        if let (true, Some(last)) = (std::mem::take(&mut self.is_open), self.calls.last_mut()) {
            last.took = self.began.elapsed().saturating_sub(last.after);
            last.end = end;
        }
    }
}

impl TimedCall {
    /// The function, as the contract calls it: `directory.open-file`.
    #[must_use]
    pub fn function(&self) -> String {
        name_of(self.function).unwrap_or_else(|| "?".to_owned())
    }

    /// What the guest was told if it failed, a code of the contract such as `not-found`; `ended` if it was the operation's end.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self.end {
            End::Answered => None,
            End::Ended => Some("ended".to_owned()),
            End::Failed(code) => {
                let mut word = String::new();
                code.show(&mut word);
                Some(word)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_calls_are_kept_and_all_are_counted() {
        let mut times = Times::new(2);
        for end in [End::Answered, End::Failed(Code::NotFound), End::Answered] {
            times.begin(0);
            times.end(end);
        }
        assert_eq!((times.made, times.calls.len()), (3, 2));
        let [first, second] = [times.calls[0], times.calls[1]];
        assert_eq!(first.failure(), None);
        assert_eq!(second.failure().as_deref(), Some("not-found"));
        assert!(first.after + first.took <= second.after);
        assert_eq!(first.function(), "directory.get-attributes");
    }

    #[test]
    fn a_call_without_an_end_was_the_operation_s() {
        let mut times = Times::new(8);
        times.begin(0);
        assert_eq!(times.calls[0].failure().as_deref(), Some("ended"));
    }
}
