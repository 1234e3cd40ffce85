//! Connections: taking them, answering on them, ending them.
//!
//! Invariant: their number is bounded, and so is the time that a client may take for the head of a request.

use super::Error;
use super::running::Running;
use crate::config::ApiLimits;
use crate::executor::{self, Spawner};
use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// How long taking connections rests when the kernel has none to give: descriptors may be free again then.
const REST: Duration = Duration::from_millis(100);

/// How often a silent HTTP/2 connection is asked whether it is still there: containerd keeps one open for days.
const PING: Duration = Duration::from_secs(30);
/// Requests at the same time on one HTTP/2 connection; a containerd has as many as images and containers at work.
const STREAMS: u32 = 1024;

/// How long an answer has to reach its client when nothing else runs on the connection.
const FAREWELL: Duration = Duration::from_millis(200);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// One request after another.
    Http1,
    /// Many at once, without an upgrade.
    Http2,
}

/// Takes connections.
pub(super) trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Takes a connection away from tokio; it still does not block.
    fn detach(stream: Self::Stream) -> io::Result<UnixStream>;
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn detach(stream: Self::Stream) -> io::Result<UnixStream> {
        stream.into_std()
    }
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn detach(stream: Self::Stream) -> io::Result<UnixStream> {
        Ok(OwnedFd::from(stream.into_std()?).into())
    }
}

/// Listens on a loopback address.
pub(super) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| Error::Tcp { address, source })
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// Limits of the interface.
    pub(super) limits: ApiLimits,
    /// One for each connection that may be open.
    pub(super) places: Arc<Semaphore>,
    /// Becomes true when the daemon is to end.
    pub(super) stop: watch::Receiver<bool>,
}

impl Door {
    /// Takes connections until the daemon is to end, then waits for those that are open, up to the limit.
    pub(super) async fn serve<L: Listener>(self, listener: L, protocol: Protocol, router: Router) {
        let mut open = JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            let (stream, place) = tokio::select! {
                taken = self.take(&listener) => taken,
                Some(_ended) = open.join_next() => continue,
                _stopped = stop.wait_for(|stopped| *stopped) => break,
            };
            let (stop, limits, router) = (self.stop.clone(), self.limits.clone(), router.clone());
            open.spawn(async move {
                match protocol {
                    Protocol::Http1 => answer(stream, router, &limits, stop).await,
                    Protocol::Http2 => answer_streams::<L>(stream, router, stop).await,
                }
                drop(place);
            });
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
            open.shutdown().await;
        }
    }

    async fn take<L: Listener>(&self, listener: &L) -> (L::Stream, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            match listener.next().await {
                Ok(stream) => return (stream, place),
                Err(error) => {
                    tracing::warn!(%error, "take a connection");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

async fn answer<S>(stream: S, router: Router, limits: &ApiLimits, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Answers on a thread of the connection's own.
async fn answer_streams<L: Listener>(
    stream: L::Stream,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let started = L::detach(stream).and_then(|socket| {
        executor::run(socket, |stream, spawner| {
            answer_on_thread(stream, spawner, router, stop)
        })
    });
    match started {
        Ok(connection) => connection.await,
        Err(error) => tracing::warn!(%error, "start a connection"),
    }
}

async fn answer_on_thread(
    stream: executor::Stream,
    spawner: Spawner,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let (running, service) = (Running::new(), TowerToHyperService::new(router));
    let counted = running.clone();
    let service = service_fn(move |request| {
        let run = counted.begin();
        let answer = service.call(request);
        async move { answer.await.map(|answer| run.until_taken(answer)) }
    });
    let connection = http2::Builder::new(spawner)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(STREAMS)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                // A client that keeps an idle connection open need not agree.
                () = running.idle() => match tokio::time::timeout(FAREWELL, connection).await {
                    Ok(ended) => ended,
                    Err(_) => Ok(()),
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Waits until the daemon is to end; nothing of the channel is borrowed afterwards.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the daemon has ended.
    let _ended = stop.wait_for(|stopped| *stopped).await.map(drop);
}
