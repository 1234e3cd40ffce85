//! Threads of one connection of many requests at once.
//!
//! Each such connection has a runtime of its own with one worker, so its tasks never wake a second worker. A call of the
//! engine runs on the very thread that its task is on (`api::call`), and meanwhile another thread takes the connection over: a
//! call that takes long delays nothing, and a short one costs one wake-up instead of two. On the daemon's own runtime, whose
//! workers wake each other, and with calls that are handed to blocking threads, everything took longer.
//!
//! Invariant: the threads end when the connection does, or when the daemon gives it up; no one waits for them but the
//! daemon at its end.
//!
//! See docs/decisions/0025-a-runtime-per-containerd-connection.md.

use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// How long calls that were cancelled with their connection are waited for at the daemon's end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs a connection on threads of its own, with up to `calls` calls at once, and waits for it. When the wait is given up, so
/// is the connection.
///
/// # Errors
/// The kernel's, when there is no thread or no descriptor for it.
pub(super) async fn run(
    calls: usize,
    connection: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        // One more than the worker's own for each call that keeps a thread.
        .max_blocking_threads(calls)
        .thread_name("mica-connection")
        .enable_all()
        .build()?;
    let task = runtime.spawn(connection);
    let _ended_here = Owned(Some(Ending(Some(runtime))));
    // An error is a panic, of which the log has been told.
    let _panic = task.await;
    Ok(())
}

/// The threads, as long as the connection is waited for.
struct Owned(Option<Ending>);

impl Drop for Owned {
    /// Cuts off what still runs. The daemon's runtime waits for its calls as it does for its own.
    fn drop(&mut self) {
        if let (Some(ending), Ok(daemon)) = (self.0.take(), Handle::try_current()) {
            drop(daemon.spawn_blocking(|| ending.wait()));
        }
    }
}

/// Threads that are to end.
struct Ending(Option<Runtime>);

impl Ending {
    fn wait(mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        }
    }
}

impl Drop for Ending {
    /// For what no one can wait for: a runtime may not be dropped where nothing may block.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use tokio::sync::oneshot;
    use tokio::task::block_in_place;

    #[tokio::test]
    async fn calls_that_keep_their_threads_delay_no_other_task() {
        const CALLS: usize = 8;
        let (release, wait) = mpsc::channel::<()>();
        let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
        let here = thread::current().id();
        let connection = async move {
            let hung: Vec<_> = (0..CALLS)
                .map(|_| {
                    let wait = std::sync::Arc::clone(&wait);
                    tokio::spawn(
                        async move { block_in_place(|| wait.lock().unwrap().recv().is_ok()) },
                    )
                })
                .collect();
            for _ in 0..100 {
                let (tell, told) = oneshot::channel();
                tokio::spawn(async move { tell.send(thread::current().id()).unwrap() });
                assert_ne!(told.await.unwrap(), here);
            }
            for _ in 0..CALLS {
                release.send(()).unwrap();
            }
            for call in hung {
                assert!(call.await.unwrap());
            }
        };
        run(CALLS, connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_no_one_waits_for_is_dropped_though_a_call_goes_on() {
        let (started, begun) = oneshot::channel();
        let (dropped, gone) = oneshot::channel::<()>();
        let (release, wait) = mpsc::channel::<()>();
        let connection = async move {
            let _dropped = dropped;
            tokio::spawn(async move { block_in_place(|| wait.recv().is_ok()) });
            started.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        let waiting = tokio::spawn(run(1, connection));
        begun.await.unwrap();
        waiting.abort();
        assert!(gone.await.is_err(), "its end has gone");
        drop(release);
    }
}
