//! Deletes what no one sees any more.
//!
//! What cannot be deleted is tried again for ever, in the end once a minute, and told as long as it is there.
//!
//! Invariant: only names in staging and trash are ever deleted; what is left when the process ends, the next start
//! deletes.

use super::Layout;
use super::layout::Area;
use crate::worker::{Outcome, Pace, Worker};
use mica_sys::{Name, tree};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a tree is tried soon again, because an error of the disk may pass and a busy mount may go, and after which
/// pause; the pause between later tries.
const MAX_QUICK_TRIES: u32 = 10;
const QUICK_RETRY_DELAY: Duration = Duration::from_secs(1);
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// After how many tries an operator is told.
const SILENT_TRIES: u32 = 2;
/// Whoever discards one tree discards more, and is to be let do that first.
const PACE: Pace = Pace {
    quiet: Duration::from_millis(20),
    longest: Duration::from_millis(20),
    backlog: usize::MAX,
};

/// A tree that is to be deleted.
#[derive(Debug)]
struct Doomed {
    layout: Arc<Layout>,
    area: Area,
    name: Name,
    /// How often it did not work.
    tries: u32,
}

/// Trees that could not be deleted, each with the reason.
type Undeletable = Mutex<BTreeMap<PathBuf, String>>;

/// Deletes trees in the background, one after another.
#[derive(Debug)]
pub(crate) struct Reaper {
    worker: Worker<Doomed>,
    undeletable: Arc<Undeletable>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let worker = Worker::default();
        let undeletable = Arc::<Undeletable>::default();
        let noted = Arc::clone(&undeletable);
        worker.start("mica-reaper", PACE, move |doomed| reap(doomed, &noted))?;
        Ok(Arc::new(Self {
            worker,
            undeletable,
        }))
    }

    pub(super) fn delete(&self, layout: &Arc<Layout>, area: Area, name: Name) {
        self.worker.push(Doomed {
            layout: Arc::clone(layout),
            area,
            name,
            tries: 0,
        });
    }

    /// Trees that wait for their deletion.
    pub(crate) fn backlog(&self) -> u64 {
        self.worker.backlog() as u64
    }

    /// What cannot be deleted now, and why.
    pub(crate) fn undeletable(&self) -> Vec<(PathBuf, String)> {
        let undeletable = self.undeletable.lock();
        let pairs = undeletable.iter();
        pairs
            .map(|(path, reason)| (path.clone(), reason.clone()))
            .collect()
    }

    /// Waits until all that was asked for so far is deleted.
    pub(crate) fn settle(&self) {
        self.worker.settle();
    }

    /// Ends the thread after the tree that it is at.
    pub(crate) fn stop(&self) {
        self.worker.stop();
    }
}

/// Deletes a tree, and notes it if it cannot be deleted.
fn reap(doomed: Doomed, undeletable: &Undeletable) -> Outcome<Doomed> {
    // Deleted before the lock is taken: a large tree takes minutes, and the status reads the list meanwhile.
    let (path, left) = (doomed.path(), doomed.delete());
    let mut undeletable = undeletable.lock();
    let Some((left, reason)) = left else {
        undeletable.remove(&path);
        return Outcome::Done;
    };
    if left.tries > SILENT_TRIES {
        undeletable.insert(path, reason);
    }
    let pause = if left.tries < MAX_QUICK_TRIES {
        QUICK_RETRY_DELAY
    } else {
        RETRY_DELAY
    };
    Outcome::Again(left, Some(pause))
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
                    MAX_QUICK_TRIES => {
                        tracing::warn!(%path, %error, "cannot be deleted; it is tried again each minute")
                    }
                    _ => tracing::info!(%path, %error, tries, "cannot be deleted yet"),
                }
                Some((Self { tries, ..self }, error.to_string()))
            }
        }
    }
}
