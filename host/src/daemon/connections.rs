//! Connections: taking them, answering on them, ending them.
//!
//! Each listener has its own numbers, so that no one who fills one of them is noticed at another. Whoever finds no room is
//! told so at once instead of waiting in a queue.
//!
//! Invariant: connections, requests and streams are bounded for each listener and for each client of it, and so is the
//! time that a client may take for its first request.

use super::listener::{Listener, take};
use super::own_threads;
use super::running::Running;
use crate::api::containerd::AnyAuthority;
use crate::api::share::{Client, Full, Share, Shares, Visitor};
use crate::api::{Entrance, Manners, caught};
use crate::config::ApiLimits;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::Future;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How often a silent HTTP/2 connection is asked whether it is still there: containerd keeps one open for days.
const KEEPALIVE_PERIOD: Duration = Duration::from_secs(30);

/// How long an answer has to reach its client when nothing else runs on the connection.
const LINGER_TIMEOUT: Duration = Duration::from_millis(200);

/// How long connections that are cut off are waited for.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(1);

/// Clients of one listener that are being told that there is no room for them; others are only hung up on.
const MAX_REFUSALS_AT_ONCE: usize = 64;
/// How long such a client may take to ask, so that it can be told.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the log is told that connections are refused.
const WARNING_PERIOD: Duration = Duration::from_secs(10);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// One request after another.
    Http1,
    /// Many at once, without an upgrade.
    Http2,
}

/// What one listener answers, and for how many.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// What is spoken.
    protocol: Protocol,
    /// What answers.
    router: Router,
    entrance: Entrance,
    /// What is answered without the router.
    manners: Manners,
    limits: ApiLimits,
    /// How long a connection is kept before its first request and between two.
    idle: Duration,
    connections: Arc<Shares>,
    calls: Arc<Shares>,
    streams: Arc<Shares>,
    memory: Arc<Shares>,
    refusals: Arc<Semaphore>,
    /// When the log was last told of a refusal.
    warned: Arc<Mutex<Option<Instant>>>,
    /// Becomes true when the daemon is to end.
    stop: watch::Receiver<bool>,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Front {
    /// What is spoken.
    pub(super) protocol: Protocol,
    /// What answers.
    pub(super) router: Router,
    /// Where its requests are counted.
    pub(super) entrance: Entrance,
    /// What is answered without the router.
    pub(super) manners: Manners,
    /// How long a connection is kept before its first request and between two.
    pub(super) idle: Duration,
}

impl Door {
    /// A door with numbers of its own, until `stop` becomes true.
    pub(super) fn new(front: Front, limits: ApiLimits, stop: watch::Receiver<bool>) -> Self {
        Self {
            protocol: front.protocol,
            router: front.router,
            entrance: front.entrance,
            manners: front.manners,
            connections: Shares::new(
                "connections",
                "connections",
                limits.connections,
                limits.client_connections,
            ),
            calls: Shares::new("requests", "calls", limits.calls, limits.client_calls),
            streams: Shares::new("streams", "streams", limits.streams, limits.client_streams),
            memory: Shares::new(
                "MiB of requests",
                "memory",
                limits.memory,
                limits.client_memory,
            ),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS_AT_ONCE)),
            warned: Arc::default(),
            idle: front.idle,
            limits,
            stop,
        }
    }

    /// What is open here: connections, requests and streams.
    pub(super) fn shares(&self) -> [Arc<Shares>; 3] {
        [&self.connections, &self.calls, &self.streams].map(Arc::clone)
    }

    /// Takes connections until the daemon is to end, then waits for those that are open, up to the limit.
    pub(super) async fn serve<L: Listener>(self, listener: L) {
        let mut open = JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            let (stream, client) = tokio::select! {
                taken = take(&listener) => taken,
                Some(_ended) = open.join_next() => continue,
                _stopped = stop.wait_for(|stopped| *stopped) => break,
            };
            match self.connections.take(client) {
                Ok(place) => {
                    open.spawn(self.clone().answer::<L>(stream, client, place));
                }
                Err(full) => self.turn_away(stream, client, full),
            }
        }
        drop(listener);
        let all = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.stop_timeout(), all)
            .await
            .is_err()
        {
            tracing::warn!(
                connections = open.len(),
                "requests do not end, they are cut off"
            );
            cut_off(open).await;
        }
    }

    /// Answers on a connection until it ends.
    async fn answer<L: Listener>(self, stream: L::Stream, client: Client, _place: Share) {
        match self.protocol {
            Protocol::Http1 => self.answer_in_turn(stream, client).await,
            Protocol::Http2 => {
                let calls = self.limits.calls;
                let started = match L::detach(stream) {
                    Ok(stream) => {
                        own_threads::run(calls, self.answer_at_once(stream, client)).await
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = started {
                    tracing::warn!(%error, "start a connection");
                }
            }
        }
    }

    /// Answers one request after another.
    async fn answer_in_turn<S>(self, stream: S, client: Client)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let running = Running::new();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle)
            .serve_connection(TokioIo::new(stream), self.service(client, &running));
        self.watch(connection, http1::Connection::graceful_shutdown, &running)
            .await;
    }

    /// Answers many requests at once. Runs on threads of its own.
    async fn answer_at_once(self, stream: UnixStream, client: Client) {
        let stream = match tokio::net::UnixStream::from_std(stream) {
            Ok(stream) => AnyAuthority::new(stream),
            Err(error) => return tracing::warn!(%error, "start a connection"),
        };
        let running = Running::new();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_PERIOD)
            .max_concurrent_streams(streams_of_connection(&self.limits))
            .serve_connection(TokioIo::new(stream), self.service(client, &running));
        self.watch(connection, http2::Connection::graceful_shutdown, &running)
            .await;
    }

    /// What answers the requests of one connection: the router, as long as the client may ask.
    fn service(
        &self,
        client: Client,
        running: &Running,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + use<> {
        let inner = TowerToHyperService::new(self.router.clone());
        let (running, calls, manners) = (running.clone(), Arc::clone(&self.calls), self.manners);
        let (entrance, name) = (self.entrance.clone(), Arc::<str>::from(client.to_string()));
        let visitor = Visitor {
            client,
            streams: Arc::clone(&self.streams),
            memory: Arc::clone(&self.memory),
            request: None,
        };
        service_fn(move |mut request: Request<Incoming>| {
            let (run, admitted) = (running.begin(), calls.take(client).map(Arc::new));
            request.extensions_mut().insert(Visitor {
                request: admitted.as_ref().ok().map(Arc::clone),
                ..visitor.clone()
            });
            let (inner, entrance, name) = (inner.clone(), entrance.clone(), Arc::clone(&name));
            async move {
                let full = admitted.as_ref().err().cloned();
                let answer = async |request| match (full, (manners.admit)(&request)) {
                    (Some(full), _) => (manners.refuse)(full),
                    (None, Some(refused)) => refused,
                    (None, None) => inner
                        .call(request)
                        .await
                        .unwrap_or_else(|never| match never {}),
                };
                let handler = async |request| caught(answer(request), manners.defect).await;
                Ok(entrance
                    .answer(&name, request, handler, (run, admitted))
                    .await)
            }
        })
    }

    /// Drives a connection until it ends, the daemon stops, or its client has not asked for anything in time.
    async fn watch<C>(&self, connection: C, shut_down: fn(Pin<&mut C>), running: &Running)
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let mut stop = self.stop.clone();
        let mut ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stopped(&mut stop) => None,
            () = running.silent_for(self.idle) => None,
        };
        if ended.is_none() {
            shut_down(connection.as_mut());
            ended = tokio::select! {
                ended = connection.as_mut() => Some(ended),
                // A client that keeps an idle connection open need not agree.
                () = running.idle() => tokio::time::timeout(LINGER_TIMEOUT, connection).await.ok(),
            };
        }
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    /// Whether the log is to be told of a refusal: not of each, because whoever is refused can come again at once.
    fn is_warning_due(&self) -> bool {
        let mut warned = self.warned.lock();
        let is_due = warned.is_none_or(|warned| warned.elapsed() > WARNING_PERIOD);
        if is_due {
            *warned = Some(Instant::now());
        }
        is_due
    }

    /// Tells a client that there is no room for it, without waiting for it here.
    fn turn_away<S>(&self, stream: S, client: Client, full: Full)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.is_warning_due() {
            tracing::warn!(%full, "connections are refused");
        }
        let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        let (protocol, refuse, entrance) =
            (self.protocol, self.manners.refuse, self.entrance.clone());
        let name = Arc::<str>::from(client.to_string());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (entrance, name, full) = (entrance.clone(), Arc::clone(&name), full.clone());
                let refused = async move |_| refuse(full);
                async move { Ok::<_, Infallible>(entrance.answer(&name, request, refused, ()).await) }
            });
            let told = async {
                match protocol {
                    Protocol::Http1 => {
                        let mut builder = http1::Builder::new();
                        builder.keep_alive(false);
                        builder
                            .serve_connection(TokioIo::new(stream), service)
                            .await
                    }
                    Protocol::Http2 => {
                        let io = TokioIo::new(AnyAuthority::new(stream));
                        let builder = http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(io, service).await
                    }
                }
            };
            // Whether it was told or not, it has to go.
            let _told = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
            drop(place);
        });
    }
}

/// Requests at the same time on one HTTP/2 connection: a client with one connection waits by itself instead of being
/// refused.
fn streams_of_connection(limits: &ApiLimits) -> u32 {
    let most = limits.client_calls.min(limits.calls);
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// Ends connections. One that makes a call of the engine ends with the call, for which nobody waits: it may never return.
async fn cut_off(mut open: JoinSet<()>) {
    open.abort_all();
    let all = async { while open.join_next().await.is_some() {} };
    let _left = tokio::time::timeout(CUT_OFF_TIMEOUT, all).await;
}

/// Waits until the daemon is to end; nothing of the channel is borrowed afterwards.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the daemon has ended.
    let _ended = stop.wait_for(|stopped| *stopped).await.map(drop);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::sync::oneshot;
    use tokio::task::block_in_place;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_that_does_not_return_keeps_no_daemon_from_ending() {
        let (release, wait) = mpsc::channel::<()>();
        let (started, begun) = oneshot::channel();
        let mut open = JoinSet::new();
        open.spawn(async move {
            started.send(()).unwrap();
            let _released = block_in_place(|| wait.recv());
        });
        begun.await.unwrap();
        cut_off(open).await;
        // Only now it may return.
        release.send(()).unwrap();
    }
}
