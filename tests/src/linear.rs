//! Whether the answers that clients got at the same time have an order that explains them.
//!
//! The object is a name that is there or not. Wing and Gong's search, with the states that were seen remembered: each
//! client's calls are in order, and a call that ended before another began comes before it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Make it.
    Create,
    /// Take it away.
    Remove,
    /// Look for it.
    Look,
}

/// A call, its answer, and when it ran.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// What was asked.
    pub call: Call,
    /// Whether it was done, or the name was found.
    pub found: bool,
    /// When it was begun.
    pub begun: u64,
    /// When its answer was there.
    pub ended: u64,
}

/// Counts moments, the same for all clients.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// The next moment.
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

impl Attempt {
    /// What becomes of the name if the call happens now, or nothing if its answer would be another.
    fn after(&self, is_there: bool) -> Option<bool> {
        let (found, after) = match self.call {
            Call::Create => (!is_there, true),
            Call::Remove => (is_there, false),
            Call::Look => (is_there, is_there),
        };
        (found == self.found).then_some(after)
    }
}

/// Looks for an order that explains the answers; the name is not there at first.
///
/// # Errors
/// How far the longest attempt came.
pub fn check(clients: &[Vec<Attempt>]) -> Result<(), String> {
    let all: usize = clients.iter().map(Vec::len).sum();
    let mut seen = HashSet::new();
    let mut open = vec![(vec![0_usize; clients.len()], false)];
    let mut furthest = 0;
    while let Some((done, is_there)) = open.pop() {
        let count: usize = done.iter().sum();
        if count == all {
            return Ok(());
        }
        furthest = furthest.max(count);
        let next = |client: usize| clients[client].get(done[client]);
        // What began after another call ended cannot come before it.
        let first_end = (0..clients.len())
            .filter_map(next)
            .map(|attempt| attempt.ended)
            .min();
        for client in 0..clients.len() {
            let Some(attempt) = next(client) else {
                continue;
            };
            if first_end.is_some_and(|end| attempt.begun > end) {
                continue;
            }
            if let Some(after) = attempt.after(is_there) {
                let mut done = done.clone();
                done[client] += 1;
                if seen.insert((done.clone(), after)) {
                    open.push((done, after));
                }
            }
        }
    }
    Err(format!("{furthest} of {all} calls can be explained"))
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Call, check};

    fn attempt(call: Call, found: bool, begun: u64, ended: u64) -> Attempt {
        Attempt {
            call,
            found,
            begun,
            ended,
        }
    }

    #[test]
    fn calls_at_the_same_time_may_be_in_any_order() {
        let one = vec![attempt(Call::Remove, true, 0, 9)];
        let other = vec![attempt(Call::Create, true, 1, 8)];
        check(&[one, other]).expect("the second came first");
    }

    #[test]
    fn an_answer_that_no_order_explains_is_found() {
        let one = vec![
            attempt(Call::Create, true, 0, 1),
            attempt(Call::Look, false, 2, 3),
        ];
        check(&[one]).expect_err("it was there");
        let twice = [
            vec![attempt(Call::Create, true, 0, 3)],
            vec![attempt(Call::Create, true, 1, 2)],
        ];
        check(&twice).expect_err("only one makes it");
        let early = [
            vec![attempt(Call::Remove, true, 0, 1)],
            vec![attempt(Call::Create, true, 2, 3)],
        ];
        check(&early).expect_err("it was not there yet");
    }
}
