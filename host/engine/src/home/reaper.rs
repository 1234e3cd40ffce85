//! Deletes what no one sees any more.
//!
//! Invariant: only names in staging and trash are ever deleted; what is left when the process ends, the next start
//! deletes.

use super::Layout;
use super::layout::Area;
use mica_sys::{Name, tree};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

enum Job {
    Delete {
        layout: Arc<Layout>,
        area: Area,
        name: Name,
    },
    Settle(Sender<()>),
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
        self.send(Job::Delete {
            layout: Arc::clone(layout),
            area,
            name,
        });
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
    while let Ok(job) = jobs.recv() {
        if stopping.load(Ordering::Acquire) {
            return;
        }
        match job {
            Job::Settle(done) => {
                // Whoever waited may have gone.
                let _told = done.send(());
            }
            Job::Delete { layout, area, name } => delete(&layout, area, &name),
        }
    }
}

fn delete(layout: &Layout, area: Area, name: &Name) {
    match tree::remove(layout.area(area), name) {
        Ok(nodes) => tracing::debug!(%name, nodes, "deleted"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let home = layout.path().display();
            tracing::warn!(%home, ?area, %name, %error, "cannot be deleted now; the next start tries again");
        }
    }
}
