//! A background worker: one thread with a queue of jobs.
//!
//! The thread sleeps until a job comes, waits a moment for more (see [`Pace`]), then works on one after another. A job that
//! did not succeed is kept, and tried again after a pause or when somebody waits for the end of the queue.
//!
//! Invariant: jobs are begun in the order in which they were handed in; what waits when the worker stops is not begun.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an idle worker waits for more before it begins: whoever hands in one job hands in more, and is to be let do
/// that first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// It begins when no job came for this long.
    pub(crate) quiet: Duration,
    /// It begins after this time in any case.
    pub(crate) longest: Duration,
    /// It begins with this many jobs in any case.
    pub(crate) backlog: usize,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Outcome<J> {
    /// Nothing is left to do.
    Done,
    /// It is to be tried again, after a pause or, without one, only when somebody waits for the end of the queue.
    Again(J, Option<Duration>),
}

/// A thread, and the queue that it works on.
pub(crate) struct Worker<J> {
    queue: Arc<Queue<J>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    waiting: VecDeque<Item<J>>,
    /// Jobs to try again, each with its pause.
    again: Vec<(J, Option<Duration>)>,
    /// How many callers wait for the end of the queue.
    awaited: usize,
    has_ended: bool,
}

enum Item<J> {
    Job(J),
    /// Somebody wants to be told when everything before this was tried.
    Settle(Sender<()>),
}

/// What the thread does next.
enum Step<J> {
    Work(J),
    /// Tries everything again that did not succeed, for whoever waits for that.
    Retry(Option<Sender<()>>),
    End,
}

impl<J> Default for Worker<J> {
    fn default() -> Self {
        let state = State {
            waiting: VecDeque::new(),
            again: Vec::new(),
            awaited: 0,
            has_ended: false,
        };
        Self {
            queue: Arc::new(Queue {
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
            thread: Mutex::default(),
        }
    }
}

impl<J> fmt::Debug for Worker<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}

impl<J> Worker<J> {
    /// Hands a job in, also before the thread is there.
    pub(crate) fn push(&self, job: J) {
        let mut state = self.queue.state.lock();
        state.waiting.push_back(Item::Job(job));
        // A thread that waits for more looks by itself.
        if state.waiting.len() == 1 {
            self.queue.changed.notify_all();
        }
    }

    /// How many jobs are not done.
    pub(crate) fn backlog(&self) -> usize {
        let state = self.queue.state.lock();
        state.waiting.len() + state.again.len()
    }

    /// How many jobs did not succeed and are to be tried again.
    pub(crate) fn refused(&self) -> usize {
        self.queue.state.lock().again.len()
    }

    /// Waits until all that was handed in so far was tried, and what had not succeeded was tried again.
    pub(crate) fn settle(&self) {
        let (done, wait) = mpsc::channel();
        {
            let mut state = self.queue.state.lock();
            if state.has_ended {
                return;
            }
            state.awaited += 1;
            state.waiting.push_back(Item::Settle(done));
            self.queue.changed.notify_all();
        }
        // An error means that the thread has ended.
        let _ended = wait.recv();
    }

    /// Ends the thread after the job that it is at, and waits for it.
    pub(crate) fn stop(&self) {
        self.queue.end();
        let thread = self.thread.lock().take();
        // The last owner of a worker may be its own thread, which cannot wait for itself.
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            // A thread that panicked has said so itself.
            let _ended = thread.join();
        }
    }
}

impl<J: Send + 'static> Worker<J> {
    /// Begins to work on the queue; once.
    pub(crate) fn start(
        &self,
        name: &str,
        pace: Pace,
        work: impl FnMut(J) -> Outcome<J> + Send + 'static,
    ) -> io::Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let queue = Arc::clone(&self.queue);
            let run = move || queue.run(pace, work);
            *thread = Some(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        }
        Ok(())
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<J> Queue<J> {
    fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        // Nobody is to wait for what does not come.
        state.waiting.retain(|item| matches!(item, Item::Job(_)));
        state.awaited = 0;
        drop(state);
        self.changed.notify_all();
    }

    fn run(&self, pace: Pace, mut work: impl FnMut(J) -> Outcome<J>) {
        let _ending = Ending(self);
        loop {
            match self.next(pace) {
                Step::Work(job) => self.work(job, &mut work),
                Step::Retry(done) => {
                    let again = std::mem::take(&mut self.state.lock().again);
                    again
                        .into_iter()
                        .for_each(|(job, _)| self.work(job, &mut work));
                    if let Some(done) = done {
                        // Whoever waited may have gone.
                        let _told = done.send(());
                    }
                }
                Step::End => return,
            }
        }
    }

    fn work(&self, job: J, work: &mut impl FnMut(J) -> Outcome<J>) {
        if let Outcome::Again(job, pause) = work(job) {
            self.state.lock().again.push((job, pause));
        }
    }

    fn next(&self, pace: Pace) -> Step<J> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            let is_idle = |state: &mut State<J>| state.waiting.is_empty() && !state.has_ended;
            let pause = state.again.iter().filter_map(|(_, pause)| *pause).min();
            match pause {
                None => self.changed.wait_while(&mut state, is_idle),
                Some(pause) => {
                    let waited = self.changed.wait_while_for(&mut state, is_idle, pause);
                    if waited.timed_out() && !state.has_ended {
                        return Step::Retry(None);
                    }
                }
            }
            self.gather(&mut state, pace);
        }
        if state.has_ended {
            return Step::End;
        }
        match state.waiting.pop_front() {
            Some(Item::Job(job)) => Step::Work(job),
            Some(Item::Settle(done)) => {
                state.awaited -= 1;
                Step::Retry(Some(done))
            }
            None => Step::Retry(None),
        }
    }

    /// Waits for more jobs, unless somebody waits for the end of them.
    fn gather(&self, state: &mut parking_lot::MutexGuard<'_, State<J>>, pace: Pace) {
        let began = Instant::now();
        loop {
            let before = state.waiting.len();
            let left = pace.longest.saturating_sub(began.elapsed());
            let is_urgent = state.has_ended || state.awaited > 0;
            if is_urgent || left.is_zero() || before >= pace.backlog {
                return;
            }
            let goes_on = |state: &mut State<J>| !state.has_ended && state.awaited == 0;
            let quiet = pace.quiet.min(left);
            self.changed.wait_while_for(state, goes_on, quiet);
            if state.waiting.len() == before {
                return;
            }
        }
    }
}

/// Ends the queue with its thread, also one that panics.
struct Ending<'a, J>(&'a Queue<J>);

impl<J> Drop for Ending<'_, J> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const PATIENT: Pace = Pace {
        quiet: LONG,
        longest: LONG,
        backlog: usize::MAX,
    };

    /// A worker, and what it did.
    fn worker(
        pace: Pace,
        mut outcome: impl FnMut(u32) -> Outcome<u32> + Send + 'static,
    ) -> (Worker<u32>, mpsc::Receiver<u32>) {
        let (did, done) = mpsc::channel();
        let worker = Worker::default();
        let work = move |job| {
            did.send(job).unwrap();
            outcome(job)
        };
        worker.start("test-worker", pace, work).unwrap();
        (worker, done)
    }

    #[test]
    fn whoever_waits_for_the_end_does_not_wait_for_more_jobs() {
        let (worker, done) = worker(PATIENT, |_| Outcome::Done);
        (0..3).for_each(|job| worker.push(job));
        worker.settle();
        assert_eq!(done.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn what_did_not_succeed_is_tried_again_when_someone_waits_for_the_end() {
        let mut tries = 0;
        let (worker, done) = worker(PATIENT, move |job| {
            tries += 1;
            match tries {
                // The first settling tries it twice: as it comes, and again at its end.
                1..=2 => Outcome::Again(job, None),
                _ => Outcome::Done,
            }
        });
        worker.push(7);
        worker.settle();
        assert_eq!((done.try_iter().count(), worker.refused()), (2, 1));
        worker.settle();
        assert_eq!((done.try_iter().count(), worker.refused()), (1, 0));
    }

    #[test]
    fn what_has_a_pause_is_tried_again_without_being_asked() {
        let pace = Pace {
            quiet: Duration::ZERO,
            ..PATIENT
        };
        let mut left = 3;
        let (worker, done) = worker(pace, move |job| {
            left -= 1;
            match left {
                0 => Outcome::Done,
                _ => Outcome::Again(job, Some(Duration::ZERO)),
            }
        });
        worker.push(7);
        assert_eq!(done.iter().take(3).count(), 3);
    }

    #[test]
    fn a_worker_that_stops_begins_nothing_and_leaves_nobody_waiting() {
        let (worker, done) = worker(PATIENT, |_| Outcome::Done);
        worker.push(1);
        worker.stop();
        worker.settle();
        worker.push(2);
        assert_eq!(done.try_iter().count(), 0);
    }

    #[test]
    fn a_job_that_panics_leaves_nobody_waiting() {
        let (worker, _done) = worker(PATIENT, |_| panic!("on purpose"));
        worker.push(1);
        worker.settle();
        worker.settle();
    }

    #[test]
    fn enough_jobs_are_begun_at_once() {
        let pace = Pace {
            backlog: 1,
            ..PATIENT
        };
        let (worker, done) = worker(pace, |_| Outcome::Done);
        worker.push(1);
        assert_eq!(done.recv(), Ok(1));
    }
}
