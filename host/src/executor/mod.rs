//! One thread for a connection and all that belongs to it: its frames, the answers to its requests, and the calls of the
//! engine that these make.
//!
//! To hand a call to another thread, and its result back, costs two wake-ups: more than most calls take. So all of it are
//! tasks of one thread, which also waits for the socket. A second thread watches. When one task takes longer than a
//! moment, the watcher takes the work over and starts a watcher of its own; the first thread ends with its task. So a call
//! that takes long, or never ends, stops nothing else on its connection.
//!
//! What tasks need of tokio (timers, threads that may block) is the daemon's runtime's.
//!
//! Invariant: one thread works at a time, but for those that are in a task which took too long; a task that is woken runs
//! once more, and never twice at once.

mod socket;
mod task;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use socket::Stream;

use rustix::event::{EventfdFlags, eventfd};
use socket::Socket;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::Thread;
use task::Task;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Calls of one connection that run on its threads at the same time; those that are more go to the runtime's.
const PLACES: usize = 4;

thread_local! {
    /// What this thread works for, and in which turn.
    static CURRENT: RefCell<Option<(Arc<Executor>, u64)>> = const { RefCell::new(None) };
}

/// What runs a connection.
#[derive(Debug)]
pub(crate) struct Executor {
    socket: Socket,
    /// Tasks that are to run.
    queue: Mutex<VecDeque<Arc<Task>>>,
    /// Tasks that there have ever been, and those that have not ended.
    spawned: AtomicU64,
    live: AtomicUsize,
    /// Calls that run or are to run here.
    calls: AtomicUsize,
    /// Ends the wait of the thread that works.
    bell: OwnedFd,
    is_waiting: AtomicBool,
    /// Goes up when another thread takes the work over.
    turn: AtomicU64,
    /// Steps that were begun, and the one that the thread is at which works; 0 for none.
    steps: AtomicU64,
    step: AtomicU64,
    watcher: Mutex<Option<Thread>>,
    is_watcher_asleep: AtomicBool,
    runtime: Handle,
    ended: Mutex<Option<oneshot::Sender<()>>>,
}

/// A connection that is run; it ends when this goes.
#[derive(Debug)]
pub(crate) struct Connection {
    first: Arc<Task>,
    ended: oneshot::Receiver<()>,
}

/// Runs a connection over a socket that does not block: the future that `make` makes of its stream, and whatever that
/// spawns. Must be called within tokio's runtime.
///
/// # Errors
/// When there is no descriptor or thread for it.
pub(crate) fn run<F>(
    socket: UnixStream,
    make: impl FnOnce(Stream, Spawner) -> F,
) -> io::Result<Connection>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (end, ended) = oneshot::channel();
    let executor = Arc::new(Executor {
        socket: Socket::new(socket),
        queue: Mutex::default(),
        spawned: AtomicU64::new(0),
        live: AtomicUsize::new(0),
        calls: AtomicUsize::new(0),
        bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        is_waiting: AtomicBool::new(false),
        turn: AtomicU64::new(0),
        steps: AtomicU64::new(0),
        step: AtomicU64::new(0),
        watcher: Mutex::default(),
        is_watcher_asleep: AtomicBool::new(false),
        runtime: Handle::current(),
        ended: Mutex::new(Some(end)),
    });
    let stream = Stream::new(Arc::clone(&executor));
    let first = executor.spawn(make(stream, Spawner(Arc::clone(&executor))));
    if let Err(error) = worker::start(&executor) {
        executor.queue().clear();
        return Err(error);
    }
    Ok(Connection { first, ended })
}

/// Calls something that may block: on the thread of the connection that asks for it, or on one of the runtime's.
pub(crate) fn call<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // Whoever asked may have gone, before or meanwhile.
        if !tell.is_closed() {
            let _told = tell.send(work());
        }
    };
    let here = CURRENT.with_borrow(|current| current.as_ref().map(|(here, _)| Arc::clone(here)));
    match here.filter(Executor::take_place) {
        Some(here) => {
            let place = Place(Arc::clone(&here));
            drop(here.spawn(async move {
                let _place = place;
                work();
            }));
        }
        None => drop(tokio::task::spawn_blocking(work)),
    }
    told
}

/// A call that runs here.
struct Place(Arc<Executor>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Release);
    }
}

impl Executor {
    /// Begins a task.
    fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) -> Arc<Task> {
        self.spawned.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::SeqCst);
        let task = Task::new(self, Box::pin(future));
        self.push(Arc::clone(&task));
        task
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Task>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, task: Arc<Task>) {
        self.queue().push_back(task);
        self.notice();
    }

    fn task_ended(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
        self.notice();
    }

    fn take_place(this: &Arc<Self>) -> bool {
        let take = |calls| (calls < PLACES).then_some(calls + 1);
        let taken = this
            .calls
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken.is_ok()
    }

    /// Sees to it that the thread which works looks at what there is now.
    fn notice(&self) {
        // In this order: whoever takes the work over looks at everything after it has its turn.
        let is_own = CURRENT.with_borrow(|current| {
            let is_own = |(here, turn): &(Arc<Self>, u64)| {
                std::ptr::eq(&**here, self) && *turn == self.turn.load(Ordering::SeqCst)
            };
            current.as_ref().is_some_and(is_own)
        });
        if !is_own && self.is_waiting.swap(false, Ordering::SeqCst) {
            // It cannot be full: each that is rung ends one wait.
            let _rung = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }
}

/// Gives hyper tasks.
#[derive(Clone, Debug)]
pub(crate) struct Spawner(Arc<Executor>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // An error means that its threads have gone.
        Pin::new(&mut self.ended).poll(context).map(drop)
    }
}

impl Drop for Connection {
    /// Cuts it off. The runtime waits for its calls as it does for those on its own threads.
    fn drop(&mut self) {
        self.first.cancel();
        if !self.ended.is_terminated() {
            let ended = std::mem::replace(&mut self.ended, oneshot::channel().1);
            let wait = move || drop(ended.blocking_recv());
            drop(self.first.executor().runtime.spawn_blocking(wait));
        }
    }
}
