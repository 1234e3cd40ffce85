//! Calls of the engine on the thread that has read the request.
//!
//! To hand a call to another thread, and the answer back, costs two wake-ups: more than most calls take. So a call is a
//! task of its own that runs where its request was read, and a thread of the runtime looks after no connection meanwhile.
//! A watch wakes another one when that takes longer than a moment. Calls that are too many for this go to threads that
//! may block.
//!
//! Invariant: fewer calls run so than the runtime has threads; whatever a call does, connections are looked after.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Calls at the same time; the daemon's runtime has more threads.
pub(crate) const PLACES: usize = 4;
/// How long a call may take before another thread is woken, and how often the watch looks.
const MOMENT: Duration = Duration::from_millis(2);
/// How often the watch finds nothing before it sleeps.
const LOOKS: u32 = 500;

/// The places, each with the number of the call that has it; 0 for none.
#[derive(Debug, Default)]
struct Places {
    calls: [AtomicU64; PLACES],
    last: AtomicU64,
    is_watch_asleep: AtomicBool,
}

/// Runs calls.
#[derive(Debug)]
pub(super) struct Inline {
    places: Arc<Places>,
    watch: Option<Thread>,
}

/// A place that a call has.
struct Place {
    places: Arc<Places>,
    number: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(place) = self.places.calls.get(self.number) {
            place.store(0, Ordering::Release);
        }
    }
}

impl Inline {
    /// Begins to watch. Must run within tokio's runtime.
    pub(super) fn start() -> Self {
        let places = Arc::new(Places::default());
        let watch = Watch {
            places: Arc::downgrade(&places),
            runtime: Handle::current(),
            seen: [0; PLACES],
            told: [0; PLACES],
        };
        let thread = thread::Builder::new().name("mica-watch".into());
        let thread = thread.spawn(move || watch.run());
        if let Err(error) = &thread {
            tracing::warn!(%error, "no watch: every call of containerd goes to another thread");
        }
        Self {
            places,
            watch: thread.ok().map(|thread| thread.thread().clone()),
        }
    }

    /// Runs a call.
    pub(super) fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self.take() {
            Some(place) => tokio::spawn(async move {
                let _place = place;
                call()
            }),
            None => tokio::task::spawn_blocking(call),
        }
    }

    /// Takes a place, if there is a watch.
    fn take(&self) -> Option<Place> {
        let watch = self.watch.as_ref()?;
        let call = self.places.last.fetch_add(1, Ordering::Relaxed) + 1;
        let is_taken = |place: &AtomicU64| {
            place
                .compare_exchange(0, call, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
        };
        let number = self.places.calls.iter().position(is_taken)?;
        if self.places.is_watch_asleep.swap(false, Ordering::SeqCst) {
            watch.unpark();
        }
        Some(Place {
            places: Arc::clone(&self.places),
            number,
        })
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        // It finds that nothing is to be watched any more.
        if let Some(watch) = &self.watch {
            watch.unpark();
        }
    }
}

/// Sees to it that a call that takes long stops nothing else.
struct Watch {
    places: Weak<Places>,
    runtime: Handle,
    /// The calls of the last look.
    seen: [u64; PLACES],
    /// The calls for which a thread was woken.
    told: [u64; PLACES],
}

impl Watch {
    fn run(mut self) {
        let mut idle = 0;
        while let Some(places) = self.places.upgrade() {
            idle = if self.look(&places) { 0 } else { idle + 1 };
            if idle < LOOKS {
                drop(places);
                thread::sleep(MOMENT);
                continue;
            }
            idle = 0;
            places.is_watch_asleep.store(true, Ordering::SeqCst);
            // A call that came before it was asleep wakes nobody.
            let is_over = !self.look(&places);
            drop(places);
            if is_over {
                thread::park();
            }
        }
    }

    /// Looks at all places, and wakes a thread for each call that is there for the second time. Says whether there is a
    /// call that none was woken for.
    fn look(&mut self, places: &Places) -> bool {
        let mut is_needed = false;
        let known = self.seen.iter_mut().zip(&mut self.told);
        for (call, (seen, told)) in places.calls.iter().zip(known) {
            let call = call.load(Ordering::SeqCst);
            if call == 0 || call == *told {
                continue;
            }
            is_needed = true;
            if call == *seen {
                // Whoever has nothing to do looks after the connections.
                self.runtime.spawn(async {});
                *told = call;
            }
            *seen = call;
        }
        is_needed
    }
}
