//! Deletes what no one sees any more.
//!
//! Invariant: only names in staging and trash are ever deleted; what is left when the process ends, the next start
//! deletes.

use super::Layout;
use super::layout::Area;
use mica_sys::{Name, tree};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a tree is tried, and how long the thread rests in between: an error of the disk may pass, a busy mount
/// may go.
const TRIES: u32 = 10;
const REST: Duration = Duration::from_secs(1);
/// How long the thread waits for more when it has had nothing to do.
const GATHER: Duration = Duration::from_millis(20);

enum Job {
    Delete(Doomed),
    Settle(Sender<()>),
}

/// A tree that is to be deleted.
struct Doomed {
    layout: Arc<Layout>,
    area: Area,
    name: Name,
    /// How often it did not work.
    tries: u32,
}

/// A thread that deletes trees, one after another.
#[derive(Debug)]
pub(crate) struct Reaper {
    jobs: Mutex<Option<Sender<Job>>>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let (jobs, receiver) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("mica-reaper".into())
            .spawn(move || work(&receiver, &seen))?;
        Ok(Arc::new(Self {
            jobs: Mutex::new(Some(jobs)),
            stopping,
            thread: Mutex::new(Some(thread)),
        }))
    }

    pub(super) fn delete(&self, layout: &Arc<Layout>, area: Area, name: Name) {
        self.send(Job::Delete(Doomed {
            layout: Arc::clone(layout),
            area,
            name,
            tries: 0,
        }));
    }

    /// Waits until all that was asked for so far is deleted.
    pub(crate) fn settle(&self) {
        let (done, wait) = mpsc::channel();
        self.send(Job::Settle(done));
        // An error means that the thread has ended.
        let _ended = wait.recv();
    }

    /// Ends the thread after the tree that it is at.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            // A thread that panicked has said so itself.
            let _ended = thread.join();
        }
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends only after this sender.
            let _sent = jobs.send(job);
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(jobs: &Receiver<Job>, stopping: &AtomicBool) {
    let mut again: VecDeque<Doomed> = VecDeque::new();
    let mut gathered = VecDeque::new();
    loop {
        let waiting = gathered.pop_front().map_or_else(|| jobs.try_recv(), Ok);
        let is_awake = waiting.is_ok();
        let job = match (waiting, again.is_empty()) {
            (Ok(job), _) => Ok(job),
            (Err(_), true) => jobs.recv().map_err(RecvTimeoutError::from),
            (Err(_), false) => jobs.recv_timeout(REST),
        };
        if stopping.load(Ordering::Acquire) {
            return;
        }
        match job {
            Ok(Job::Delete(doomed)) => {
                if !is_awake {
                    gather(jobs, &mut gathered);
                }
                again.extend(doomed.delete());
            }
            Ok(Job::Settle(done)) => {
                again = again.into_iter().filter_map(Doomed::delete).collect();
                // Whoever waited may have gone.
                let _told = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                again = again.into_iter().filter_map(Doomed::delete).collect();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Waits for more: whoever discards one tree discards more, and is to be let do that first, unless someone waits for the
/// end of it.
fn gather(jobs: &Receiver<Job>, gathered: &mut VecDeque<Job>) {
    let until = Instant::now() + GATHER;
    while let Ok(job) = jobs.recv_timeout(until.saturating_duration_since(Instant::now())) {
        let is_awaited = matches!(job, Job::Settle(_));
        gathered.push_back(job);
        if is_awaited {
            return;
        }
    }
}

impl Doomed {
    /// Deletes the tree; what is to be tried again comes back.
    fn delete(self) -> Option<Self> {
        self.layout.detach_image(self.area, &self.name);
        match tree::remove(self.layout.area(self.area), &self.name) {
            Ok(nodes) => {
                tracing::debug!(name = %self.name, nodes, "deleted");
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let (home, tries) = (self.layout.path().display(), self.tries + 1);
                let (area, name) = (self.area, &self.name);
                if tries < TRIES {
                    tracing::info!(%home, ?area, %name, %error, "cannot be deleted yet");
                    return Some(Self { tries, ..self });
                }
                tracing::warn!(%home, ?area, %name, %error, "cannot be deleted; the next start tries again");
                None
            }
        }
    }
}
