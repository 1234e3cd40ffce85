//! One call of a client.
//!
//! Invariant: it ends once, when nothing works for it any more and its answer was taken or its client has gone.

use super::calls::ClientCalls;
use super::context::RemoteParent;
use super::spans::{Attributes, Place};
use super::{CANCELLED, OK, OUTCOMES, PENDING, is_own_fault, place_of};
use crate::Moment;
use crate::view::CallView;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What programs ask again and again that watch the daemon: recorded only for a client that records it as well.
const PROBES: [&str; 3] = ["get_metrics", "get_health", "get_readiness"];

tokio::task_local! {
    /// The call that the running task or thread works for.
    static CURRENT: ClientCall;
}

/// By which door a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Front {
    /// REST, over the socket and over TCP; the command line uses it.
    Rest,
    /// Docker's plugin protocol.
    Docker,
    /// containerd's services.
    Containerd,
    /// None: the daemon's own work.
    Own,
}

impl Front {
    /// All of them, each at the place of its number.
    pub(crate) const ALL: [Self; 4] = [Self::Rest, Self::Docker, Self::Containerd, Self::Own];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Own => "own",
        }
    }
}

/// A call of a client. Clones are the same call.
#[derive(Clone)]
pub struct ClientCall(Arc<Inner>);

pub(super) struct Inner {
    pub(super) number: u64,
    pub(super) id: Arc<str>,
    pub(super) front: Front,
    client: Arc<str>,
    began: Moment,
    started: Instant,
    operation: OnceLock<&'static str>,
    about: Mutex<About>,
    /// Microseconds in the engine, and those of them in which it waited for the client.
    worked: AtomicU64,
    waited: AtomicU64,
    /// Bytes that came from the client or went to it.
    moved: Arc<AtomicU64>,
    /// Of work that no client sees pass: bytes in all, or none that are known, and those that are done.
    work: AtomicU64,
    done: AtomicU64,
    /// What it was last refused with, and how it ends as things stand: places in `OUTCOMES`.
    refused: AtomicUsize,
    outcome: AtomicUsize,
    calls: Arc<ClientCalls>,
    /// Where it stands in its trace, if it is recorded.
    span: Option<Place>,
}

/// What a call is about, as far as the engine has come.
#[derive(Clone, Debug, Default)]
struct About {
    store: Option<String>,
    layer: Option<String>,
    driver: Option<String>,
    generation: Option<u64>,
}

impl fmt::Debug for ClientCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCall").field(&self.0.id).finish()
    }
}

/// A look at a call that does not keep it alive.
#[derive(Clone)]
pub(crate) struct CallWatch(Arc<AtomicU64>);

impl fmt::Debug for CallWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallWatch")
    }
}

impl CallWatch {
    /// Bytes that were moved until now, or until it ended.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A call as it begins.
pub(super) struct Arrival {
    pub(super) number: u64,
    pub(super) id: Arc<str>,
    pub(super) front: Front,
    pub(super) client: Arc<str>,
    /// The client's span that it belongs to.
    pub(super) parent: Option<RemoteParent>,
}

impl ClientCall {
    pub(super) fn new(arrival: Arrival, calls: &Arc<ClientCalls>) -> Self {
        let (began, started) = (Moment::now(), Instant::now());
        let spans = calls.spans();
        let span = spans.and_then(|spans| spans.begin(arrival.parent, (began, started)));
        Self(Arc::new(Inner {
            number: arrival.number,
            id: arrival.id,
            front: arrival.front,
            client: arrival.client,
            began,
            started,
            operation: OnceLock::new(),
            about: Mutex::default(),
            worked: AtomicU64::default(),
            waited: AtomicU64::default(),
            moved: Arc::default(),
            work: AtomicU64::default(),
            done: AtomicU64::default(),
            refused: AtomicUsize::new(OK),
            outcome: AtomicUsize::new(PENDING),
            calls: Arc::clone(calls),
            span,
        }))
    }

    /// Looks at it from afar: it ends as if nobody did.
    pub(crate) fn watch(&self) -> CallWatch {
        CallWatch(Arc::clone(&self.0.moved))
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The call that the running task or thread works for.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The id of the running call.
    #[must_use]
    pub fn current_id() -> Option<Arc<str>> {
        CURRENT.try_with(|call| Arc::clone(&call.0.id)).ok()
    }

    /// Where the running call stands in its trace, if it is recorded.
    pub(crate) fn current_span() -> Option<Place> {
        CURRENT.try_with(|call| call.0.span.clone()).ok().flatten()
    }

    /// By which door the running call came.
    pub(crate) fn current_front() -> Front {
        CURRENT.try_with(|call| call.0.front).unwrap_or(Front::Own)
    }

    /// Has a future work for this call.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Works for this call on this thread.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// The id by which a client and the log know it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Says what it does: a name of this program, and not of the client.
    pub fn name(&self, operation: &'static str) {
        // The first one stays: a router may be asked twice.
        let _first = self.0.operation.set(operation);
    }

    /// Counts bytes from the client or to it.
    pub fn moved(&self, bytes: usize) {
        self.0.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts time in the engine.
    pub fn worked(&self, time: Duration) {
        add(&self.0.worked, time);
    }

    /// Counts time in the engine that it only waited for the client.
    pub(crate) fn waited(&self, time: Duration) {
        add(&self.0.waited, time);
    }

    /// Notes the class of an error that the client may be told.
    pub fn refused(&self, class: &str) {
        self.0.refused.store(place_of(class), Ordering::Relaxed);
    }

    /// Says that it ended well, unless it was said before how it ended.
    pub fn succeeded(&self) {
        let order = Ordering::Relaxed;
        // An error is what was said before.
        let _said = self.0.outcome.compare_exchange(PENDING, OK, order, order);
    }

    /// Says that it failed: with what was noted, else with this class.
    pub fn failed(&self, class: &str) {
        let outcome = match self.0.refused.load(Ordering::Relaxed) {
            OK => place_of(class),
            noted => noted,
        };
        self.0.outcome.store(outcome, Ordering::Relaxed);
    }

    /// Notes the store that it is about.
    pub(crate) fn note_store(store: &str, driver: &str) {
        Self::note(|about| {
            about.store = Some(store.to_owned());
            about.driver = Some(driver.to_owned());
        });
    }

    /// Notes the layer or snapshot that it is about; the first one stays.
    pub(crate) fn note_layer(layer: &str) {
        Self::note(|about| {
            if about.layer.is_none() {
                about.layer = Some(layer.to_owned());
            }
        });
    }

    /// Notes the build that works for it.
    pub(crate) fn note_generation(number: u64) {
        Self::note(|about| about.generation = Some(number));
    }

    /// Notes how many bytes of work there are, which are not its client's.
    pub(crate) fn note_work(bytes: u64) {
        let _noted = CURRENT.try_with(|call| call.0.work.store(bytes, Ordering::Relaxed));
    }

    /// Notes that so many of them are done.
    pub(crate) fn note_done(bytes: u64) {
        let _noted = CURRENT.try_with(|call| call.0.done.fetch_add(bytes, Ordering::Relaxed));
    }

    fn note(change: impl FnOnce(&mut About)) {
        // Without a call there is nobody to be told.
        let _noted = CURRENT.try_with(|call| change(&mut call.0.about.lock()));
    }
}

impl Inner {
    /// Time in the engine, without the waits for the client.
    pub(super) fn own_time(&self) -> Duration {
        let worked = self.worked.load(Ordering::Relaxed);
        let waited = self.waited.load(Ordering::Relaxed);
        Duration::from_micros(worked.saturating_sub(waited))
    }

    pub(super) fn operation(&self) -> &'static str {
        self.operation.get().copied().unwrap_or("unknown")
    }

    pub(super) fn outcome(&self) -> usize {
        match self.outcome.load(Ordering::Relaxed) {
            // Whoever goes away before the end of the answer has cancelled it.
            PENDING => CANCELLED,
            outcome => outcome,
        }
    }

    /// Has its span wait to be sent, now that it has ended.
    pub(super) fn end_span(&self) {
        let Some(span) = &self.span else {
            return;
        };
        if span.is_root() && PROBES.contains(&self.operation()) {
            return;
        }
        let outcome = OUTCOMES.get(self.outcome()).copied().unwrap_or_default();
        let about = self.about.lock();
        let attributes = Attributes::default()
            .text("mica.request_id", Some(&self.id))
            .text("mica.front_end", Some(self.front.word()))
            .text("mica.client", Some(&self.client))
            .text("mica.operation", Some(self.operation()))
            .text("mica.outcome", Some(outcome))
            .text("mica.store", about.store.as_deref())
            .text("mica.layer", about.layer.as_deref())
            .text("mica.driver", about.driver.as_deref())
            .number("mica.generation", about.generation)
            .number("mica.bytes", Some(self.moved.load(Ordering::Relaxed)));
        let error = is_own_fault(outcome).then(|| outcome.to_owned());
        span.end(self.operation(), attributes, error);
    }

    pub(super) fn view(&self) -> CallView {
        let About {
            store,
            layer,
            driver,
            generation,
        } = self.about.lock().clone();
        let (work, done) = (
            self.work.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
        );
        CallView {
            number: self.number,
            request: self.id.to_string(),
            front_end: self.front.word().to_owned(),
            client: self.client.to_string(),
            operation: self.operation().to_owned(),
            store,
            layer,
            driver,
            generation,
            began: self.began,
            age_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes: self.moved.load(Ordering::Relaxed),
            work_bytes: (work > 0).then_some(work),
            done_bytes: (done > 0 || work > 0).then_some(done),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let calls = Arc::clone(&self.calls);
        calls.ended(self);
    }
}

fn add(to: &AtomicU64, time: Duration) {
    let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    to.fetch_add(microseconds, Ordering::Relaxed);
}
