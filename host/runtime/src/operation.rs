//! Who asks for an operation, and with what.
//!
//! Invariant: data only; an operation runs in `sandbox`.

use crate::{Home, Replay, Witness};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Ends an operation from outside: at the next 10 ms tick, or at once where it waits for a stream.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(CancellationToken);

impl CancelToken {
    /// Asks the operation to end.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Says whether it was asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is asked.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// What `work` comes to, or nothing if it is not done when the operation is asked to end.
    pub(crate) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}

/// Told when an operation begins and ends to wait for its client, so that what it holds can serve others meanwhile.
pub trait ClientWait: Send + Sync {
    /// The operation stands still from now on.
    fn begin(&self);
    /// It goes on. May wait until it can, and gives up once the operation is cancelled.
    fn end(&self, cancel: &CancelToken);
}

/// Tells what an operation took of its driver; it is known when the operation has ended.
#[derive(Clone, Debug, Default)]
pub struct Spent(Arc<Amounts>);

#[derive(Debug, Default)]
struct Amounts {
    own_microseconds: AtomicU64,
    host_calls: AtomicU64,
    memory_bytes: AtomicU64,
}

impl Spent {
    /// How long the driver was busy, to the microsecond: processor time of its thread, host calls included, and what the driver
    /// slept of its own will. Neither a busy machine nor a slow client makes it longer.
    #[must_use]
    pub fn own_time(&self) -> Duration {
        Duration::from_micros(self.0.own_microseconds.load(Ordering::Acquire))
    }

    /// Functions of `mica:host` that the driver called.
    #[must_use]
    pub fn host_calls(&self) -> u64 {
        self.0.host_calls.load(Ordering::Acquire)
    }

    /// The most memory that the driver had at once, in bytes, over all instances of its component.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, own_time: Duration, host_calls: u64, memory_bytes: usize) {
        let microseconds = u64::try_from(own_time.as_micros()).unwrap_or(u64::MAX);
        self.0
            .own_microseconds
            .store(microseconds, Ordering::Release);
        self.0.host_calls.store(host_calls, Ordering::Release);
        self.0
            .memory_bytes
            .store(memory_bytes as u64, Ordering::Release);
    }
}

/// One operation of one store.
#[derive(Clone)]
pub struct Operation {
    /// The store's name, for the log.
    pub store: String,
    /// The operation's name, for the log.
    pub name: &'static str,
    /// The store as this operation may see it.
    pub home: Arc<dyn Home>,
    /// The store's driver options.
    pub options: Arc<[(String, String)]>,
    /// Ends it from outside.
    pub cancel: CancelToken,
    /// Who is told of waits for the client.
    pub client_wait: Option<Arc<dyn ClientWait>>,
    /// Tells what it took of its driver.
    pub spent: Spent,
    /// Who is told what its driver says and does.
    pub witness: Option<Arc<dyn Witness>>,
    /// What answers its host calls, if it is a replay.
    pub replay: Option<Replay>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("store", &self.store)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a layer is created.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// An SELinux context for the layer's files.
    pub mount_label: Option<String>,
    /// Options of this layer alone.
    pub storage_options: Vec<(String, String)>,
}
