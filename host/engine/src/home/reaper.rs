//! Deletes what no one sees any more.
//!
//! What cannot be deleted is tried again for ever, in the end once a minute, and told as long as it is there.
//!
//! Invariant: only names in staging and trash are ever deleted; what is left when the process ends, the next start
//! deletes.

use super::Layout;
use super::layout::Area;
use mica_sys::{Name, tree};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a tree is tried soon again, because an error of the disk may pass and a busy mount may go, and after how long;
/// how long the thread rests between later tries.
const TRIES: u32 = 10;
const REST: Duration = Duration::from_secs(1);
const LONG_REST: Duration = Duration::from_secs(60);
/// After how many tries an operator is told.
const SILENT_TRIES: u32 = 2;
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
    undeletable: Arc<Mutex<BTreeMap<PathBuf, String>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let (jobs, receiver) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopping);
        let undeletable = Arc::default();
        let told = Arc::clone(&undeletable);
        let thread = std::thread::Builder::new()
            .name("mica-reaper".into())
            .spawn(move || work(&receiver, &seen, &told))?;
        Ok(Arc::new(Self {
            jobs: Mutex::new(Some(jobs)),
            stopping,
            undeletable,
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

    /// What cannot be deleted now, and why.
    pub(crate) fn undeletable(&self) -> Vec<(PathBuf, String)> {
        let undeletable = self.undeletable.lock();
        let undeletable = undeletable.unwrap_or_else(PoisonError::into_inner);
        let pairs = undeletable.iter();
        pairs
            .map(|(path, reason)| (path.clone(), reason.clone()))
            .collect()
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

fn work(
    jobs: &Receiver<Job>,
    stopping: &AtomicBool,
    undeletable: &Mutex<BTreeMap<PathBuf, String>>,
) {
    let mut again: VecDeque<Doomed> = VecDeque::new();
    let delete = |doomed: Doomed| {
        let (path, left) = (doomed.path(), doomed.delete());
        let mut undeletable = undeletable.lock().unwrap_or_else(PoisonError::into_inner);
        match &left {
            Some((left, reason)) if left.tries > SILENT_TRIES => {
                undeletable.insert(path, reason.clone());
            }
            _ => drop(undeletable.remove(&path)),
        }
        left.map(|(left, _)| left)
    };
    let mut gathered = VecDeque::new();
    loop {
        let waiting = gathered.pop_front().map_or_else(|| jobs.try_recv(), Ok);
        let is_awake = waiting.is_ok();
        let job = match (waiting, again.is_empty()) {
            (Ok(job), _) => Ok(job),
            (Err(_), true) => jobs.recv().map_err(RecvTimeoutError::from),
            (Err(_), false) => {
                let is_soon = again.iter().any(|doomed| doomed.tries < TRIES);
                jobs.recv_timeout(if is_soon { REST } else { LONG_REST })
            }
        };
        if stopping.load(Ordering::Acquire) {
            return;
        }
        match job {
            Ok(Job::Delete(doomed)) => {
                if !is_awake {
                    gather(jobs, &mut gathered);
                }
                again.extend(delete(doomed));
            }
            Ok(Job::Settle(done)) => {
                again = again.into_iter().filter_map(delete).collect();
                // Whoever waited may have gone.
                let _told = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                again = again.into_iter().filter_map(delete).collect();
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
    fn path(&self) -> PathBuf {
        let area = match self.area {
            Area::Layers => "layers",
            Area::Staging => "staging",
            Area::Trash => "trash",
        };
        self.layout.path().join(area).join(self.name.to_string())
    }

    /// Deletes the tree; what is to be tried again comes back with the reason.
    fn delete(self) -> Option<(Self, String)> {
        self.layout.detach_image(self.area, &self.name);
        match tree::remove(self.layout.area(self.area), &self.name) {
            Ok(nodes) => {
                tracing::debug!(name = %self.name, nodes, "deleted");
                if let Some(reserve) = self.layout.reserve.get() {
                    reserve.refill();
                }
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let (path, tries) = (self.path(), self.tries + 1);
                let path = path.display();
                match tries {
                    TRIES => {
                        tracing::warn!(%path, %error, "cannot be deleted; it is tried again each minute")
                    }
                    _ => tracing::info!(%path, %error, tries, "cannot be deleted yet"),
                }
                Some((Self { tries, ..self }, error.to_string()))
            }
        }
    }
}
