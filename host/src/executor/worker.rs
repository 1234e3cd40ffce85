//! The threads: one works, one watches.
//!
//! Invariant: whoever takes the work over looks at everything there is after it has its turn.

use super::task::Task;
use super::{CURRENT, Executor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a task may take before another thread takes the work over, and how often that is looked at.
const MOMENT: Duration = Duration::from_millis(2);
/// How often the watcher finds nothing before it sleeps.
const LOOKS: u32 = 500;
/// How long the next request is looked for after an answer.
const ALERT: Duration = Duration::from_micros(150);
/// Requests that came in that time, less those that did not, up to which they count: the last few decide.
const TRUST: u8 = 4;
/// How long the thread rests when the kernel cannot wait for it.
const REST: Duration = Duration::from_millis(10);

/// Starts a thread that works and one that watches.
pub(super) fn start(executor: &Arc<Executor>) -> io::Result<()> {
    let own = Arc::clone(executor);
    let thread = thread::Builder::new().name("mica-connection".into());
    thread.spawn(move || own.work(0))?;
    Ok(())
}

fn hold<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a client asks: one that has its answer often asks for the next thing at once, and to sleep and be woken takes
/// longer than that. So where it was so lately, the next request is looked for.
struct Rhythm {
    /// Tasks that there had been when the thread last had nothing to do, and since when that was so.
    spawned: u64,
    idle: Instant,
    /// When that ended.
    woken: Instant,
    trust: u8,
}

impl Rhythm {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            spawned: 0,
            idle: now,
            woken: now,
            trust: 0,
        }
    }

    /// Nothing is to be done, after so many tasks in all: until when to look for a request, if that is worth it.
    fn look_until(&mut self, spawned: u64) -> Option<Instant> {
        if spawned != self.spawned {
            let was_soon = self.woken.duration_since(self.idle) < ALERT;
            self.trust = match was_soon {
                true => TRUST.min(self.trust + 1),
                false => self.trust.saturating_sub(1),
            };
            (self.spawned, self.idle) = (spawned, Instant::now());
        }
        (self.trust > 0).then(|| self.idle + ALERT)
    }
}

/// What the thread that works does next.
enum Next {
    /// A task, as a step of this number.
    Task(Arc<Task>, u64),
    Nothing,
    /// Another thread works.
    TakenOver,
}

impl Executor {
    /// Works until all tasks have ended, or another thread has taken over.
    fn work(self: Arc<Self>, turn: u64) {
        let _tokio = self.runtime.enter();
        self.start_watcher(turn);
        CURRENT.set(Some((Arc::clone(&self), turn)));
        let mut rhythm = Rhythm::new();
        loop {
            match self.next(turn) {
                Next::Task(task, step) => self.run(task, step),
                Next::Nothing if self.live.load(Ordering::SeqCst) == 0 => {
                    self.end();
                    break;
                }
                Next::Nothing => {
                    let spawned = self.spawned.load(Ordering::Relaxed);
                    match rhythm.look_until(spawned) {
                        Some(until) if self.look(until) => {}
                        _ => self.wait(),
                    }
                    rhythm.woken = Instant::now();
                }
                Next::TakenOver => break,
            }
        }
        CURRENT.set(None);
    }

    /// Begins the next step.
    fn next(&self, turn: u64) -> Next {
        let mut queue = self.queue();
        if self.turn.load(Ordering::SeqCst) != turn {
            return Next::TakenOver;
        }
        let Some(task) = queue.pop_front() else {
            return Next::Nothing;
        };
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        self.step.store(step, Ordering::SeqCst);
        Next::Task(task, step)
    }

    fn run(&self, task: Arc<Task>, step: u64) {
        if self.is_watcher_asleep.load(Ordering::SeqCst)
            && self.is_watcher_asleep.swap(false, Ordering::SeqCst)
        {
            self.wake_watcher();
        }
        task.run();
        // Not if another thread has taken over.
        let (success, failure) = (Ordering::SeqCst, Ordering::Relaxed);
        let _was_own = self.step.compare_exchange(step, 0, success, failure);
    }

    /// Takes the work over from the one whose turn it was and who is still at this step. Says whether that is so.
    fn take_over(&self, turn: u64, step: u64) -> bool {
        let _queue = self.queue();
        if self.turn.load(Ordering::SeqCst) + 1 != turn {
            return false;
        }
        let (success, failure) = (Ordering::SeqCst, Ordering::Relaxed);
        let is_stuck = self.step.compare_exchange(step, 0, success, failure);
        if is_stuck.is_ok() {
            self.turn.store(turn, Ordering::SeqCst);
        }
        is_stuck.is_ok()
    }

    /// Looks for the next request instead of sleeping. Says whether something is there.
    fn look(&self, until: Instant) -> bool {
        // Only the connection itself is left: nothing else is in progress.
        if self.live.load(Ordering::SeqCst) != 1 {
            return false;
        }
        self.socket.settle();
        while Instant::now() < until {
            let mut file = [PollFd::from_borrowed_fd(self.socket.file(), PollFlags::IN)];
            let found = poll(&mut file, Some(&Timespec::default()));
            if found.is_ok_and(|found| found > 0) {
                self.socket.wake(file[0].revents());
                return true;
            }
            // Whoever else has something to do goes first.
            rustix::thread::sched_yield();
        }
        false
    }

    /// Waits until something happens.
    fn wait(&self) {
        self.is_waiting.store(true, Ordering::SeqCst);
        // What came before this was not told.
        if self.queue().is_empty() && self.live.load(Ordering::SeqCst) > 0 {
            self.socket.settle();
            let (flags, left) = self.socket.interest();
            let bell = PollFd::new(&self.bell, PollFlags::IN);
            let socket = PollFd::from_borrowed_fd(self.socket.file(), flags);
            let mut files = [bell, socket];
            // The end of a socket that no one asks about would be told for ever.
            let asked = if flags.is_empty() { 1 } else { 2 };
            let files = files.get_mut(..asked).unwrap_or_default();
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(files, left.as_ref()) {
                Ok(_) => {
                    let happened =
                        |file: usize| files.get(file).map_or(PollFlags::empty(), PollFd::revents);
                    self.socket.wake(happened(1));
                    if happened(0).contains(PollFlags::IN) {
                        // It is there to end one wait.
                        let _number = rustix::io::read(&self.bell, &mut [0; 8]);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "wait for a connection");
                    thread::sleep(REST);
                }
            }
        }
        self.is_waiting.store(false, Ordering::SeqCst);
    }

    fn end(&self) {
        self.socket.forget();
        let ended = hold(&self.ended).take();
        if let Some(ended) = ended {
            // Whoever waited may have gone.
            let _told = ended.send(());
        }
        self.wake_watcher();
    }

    fn has_ended(&self) -> bool {
        hold(&self.ended).is_none()
    }

    fn wake_watcher(&self) {
        if let Some(watcher) = &*hold(&self.watcher) {
            watcher.unpark();
        }
    }

    fn start_watcher(self: &Arc<Self>, turn: u64) {
        let own = Arc::clone(self);
        let thread = thread::Builder::new().name("mica-watch".into());
        let started = thread.spawn(move || own.watch(turn));
        *hold(&self.watcher) = match started {
            Ok(thread) => Some(thread.thread().clone()),
            Err(error) => {
                tracing::warn!(%error, "no thread watches a connection of containerd: a long call delays others");
                None
            }
        };
    }

    /// Watches the thread that works, and takes the work over when it is at one step for longer than a moment.
    fn watch(self: Arc<Self>, turn: u64) {
        let (mut seen, mut idle) = (0, 0);
        while !self.has_ended() {
            let step = self.step.load(Ordering::SeqCst);
            if step != 0 && step == seen && self.take_over(turn + 1, step) {
                return self.work(turn + 1);
            }
            idle = if step == 0 { idle + 1 } else { 0 };
            seen = step;
            if idle < LOOKS {
                thread::sleep(MOMENT);
                continue;
            }
            idle = 0;
            self.is_watcher_asleep.store(true, Ordering::SeqCst);
            // A step that began before this wakes no one.
            if self.step.load(Ordering::SeqCst) == 0 && !self.has_ended() {
                thread::park();
            }
            self.is_watcher_asleep.store(false, Ordering::SeqCst);
        }
    }
}
