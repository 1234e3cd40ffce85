//! Group commit: work of many callers that costs as much as that of one.
//!
//! The caller that finds nobody at work becomes the leader and does what waits, its own included; whoever comes meanwhile
//! waits for the next round. So no thread is needed, a single caller waits for nobody, and N callers at once share a few
//! rounds.
//!
//! Invariant: a round begins after everything in it was handed in.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where callers meet: `W` is what each hands in, `R` what each gets.
pub(crate) struct Group<W, R> {
    state: Mutex<State<W, R>>,
    ended: Condvar,
}

struct State<W, R> {
    waiting: Vec<(W, Arc<OnceLock<R>>)>,
    is_led: bool,
    /// A leader panicked: what became of its round, no one knows.
    is_broken: bool,
}

impl<W, R> Default for Group<W, R> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                is_led: false,
                is_broken: false,
            }),
            ended: Condvar::new(),
        }
    }
}

impl<W, R> fmt::Debug for Group<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl<W, R: Clone> Group<W, R> {
    fn state(&self) -> MutexGuard<'_, State<W, R>> {
        self.state.lock()
    }

    /// Hands work in and waits for its outcome. `together` does the work of a round and gives as many outcomes, in the
    /// same order.
    ///
    /// # Panics
    /// When a leader panicked, in this round or an earlier one.
    pub(crate) fn run(&self, work: W, together: impl FnOnce(Vec<W>) -> Vec<R>) -> R {
        let outcome = Arc::new(OnceLock::new());
        let mut state = self.state();
        state.waiting.push((work, Arc::clone(&outcome)));
        // The end of any round wakes everyone, also of a round that this work was not in.
        while state.is_led && outcome.get().is_none() {
            self.ended.wait(&mut state);
        }
        if outcome.get().is_none() {
            // Nobody may lead after a panic: what the broken round did to the rows is not known.
            assert!(!state.is_broken, "an earlier round ended with a panic");
            state.is_led = true;
            // All that waits goes into this round, so one sync serves every caller that came during the last one.
            let round = std::mem::take(&mut state.waiting);
            drop(state);
            self.lead(round, together);
        }
        let outcome = outcome.get().cloned();
        outcome.expect("an outcome of the round")
    }

    /// How many callers wait for the next round.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn lead(&self, round: Vec<(W, Arc<OnceLock<R>>)>, together: impl FnOnce(Vec<W>) -> Vec<R>) {
        let mut ending = Ending {
            group: self,
            is_whole: false,
        };
        let (work, outcomes): (Vec<W>, Vec<_>) = round.into_iter().unzip();
        for (outcome, found) in outcomes.iter().zip(together(work)) {
            // Nobody else fills it.
            let _first = outcome.set(found);
        }
        ending.is_whole = true;
    }
}

/// Ends a round, also one that panics.
struct Ending<'a, W, R: Clone> {
    group: &'a Group<W, R>,
    is_whole: bool,
}

impl<W, R: Clone> Drop for Ending<'_, W, R> {
    fn drop(&mut self) {
        let mut state = self.group.state();
        state.is_led = false;
        state.is_broken |= !self.is_whole;
        drop(state);
        // Told after the lock is free, so that nobody wakes only to wait for it.
        self.group.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn what_comes_during_a_round_shares_the_next_one() {
        let group = Group::default();
        let rounds = AtomicUsize::new(0);
        let double = |work: Vec<u32>| {
            rounds.fetch_add(1, Ordering::Relaxed);
            work.into_iter().map(|number| 2 * number).collect()
        };
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (group, double) = (&group, &double);
            let first = scope.spawn(move || {
                group.run(1, |work| {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    double(work)
                })
            });
            has_begun.recv().unwrap();
            let others: Vec<_> = (2..34)
                .map(|number| scope.spawn(move || group.run(number, double)))
                .collect();
            while group.waiting() < others.len() {
                std::thread::yield_now();
            }
            go_on.send(()).unwrap();
            assert_eq!(first.join().unwrap(), 2);
            for (number, other) in (2..).zip(others) {
                assert_eq!(other.join().unwrap(), 2 * number);
            }
        });
        assert_eq!(rounds.into_inner(), 2);
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let group: Group<(), ()> = Group::default();
        let run = |together: fn(Vec<()>) -> Vec<()>| {
            let attempt = std::panic::AssertUnwindSafe(|| group.run((), together));
            std::panic::catch_unwind(attempt).is_err()
        };
        assert!(run(|_| panic!("on purpose")));
        assert!(run(|work| work));
    }
}
