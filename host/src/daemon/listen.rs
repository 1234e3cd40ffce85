//! Sockets and addresses: all are taken before any is answered on.
//!
//! Invariant: a socket that cannot be taken leaves nobody half served.

use super::Error;
use super::activation::Passed;
use super::connections::{self, Door, Protocol};
use super::socket::{self, Socket};
use crate::api;
use crate::api::docker::{self, Docker};
use crate::api::rest::{self, Api};
use crate::config::Config;
use mica_engine::Engine;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a connection of dockerd's may be idle, at least. Go keeps connections for good, and does not repeat a request on
/// one that is closed just as it is sent.
const DOCKER_IDLE_SECONDS: u64 = 7 * 24 * 3600;
/// What is listened on.
pub(super) struct Listening {
    /// The files of the sockets that the daemon has made.
    pub(super) places: Vec<socket::Place>,
    /// One for each listener; ends when the daemon is to end.
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// What answers.
pub(super) struct Fronts<'a> {
    pub(super) config: &'a Config,
    pub(super) engine: &'a Arc<Engine>,
    pub(super) api: Arc<Api>,
    /// How long a stream of dockerd's may stand still.
    pub(super) stream_idle: Duration,
}

/// Every socket and address of the configuration.
struct Taken {
    rest: Socket,
    docker: Option<Socket>,
    containerd: Option<Socket>,
    tcp: Option<TcpListener>,
}

impl Fronts<'_> {
    /// Takes every socket and address first, then answers on all of them.
    pub(super) async fn listen(self, door: Door, passed: Passed) -> Result<Listening, Error> {
        let taken = self.take(passed).await?;
        let config = self.config;
        tracing::info!(socket = %config.socket.display(), root = %config.root.display(), "ready");
        let mut listening = Listening {
            places: Vec::new(),
            tasks: Vec::new(),
        };
        let router = rest::router(Arc::clone(&self.api));
        listening.add(door.clone(), taken.rest, Protocol::Http1, router);
        if let (Some(settings), Some(socket)) = (&config.docker, taken.docker) {
            tracing::info!(socket = %settings.socket.display(), store = settings.store, "ready for Docker");
            let docker = Docker {
                engine: Arc::clone(self.engine),
                stream_idle: self.stream_idle,
                limits: config.api.clone(),
                settings: settings.clone(),
            };
            let mut door = door.clone();
            door.limits.header_seconds = door.limits.header_seconds.max(DOCKER_IDLE_SECONDS);
            let router = docker::router(Arc::new(docker));
            listening.add(door, socket, Protocol::Http1, router);
        }
        if let (Some(settings), Some(socket)) = (&config.containerd, taken.containerd) {
            tracing::info!(socket = %settings.socket.display(), store = settings.store, "ready for containerd");
            let router = api::containerd::router(Arc::clone(self.engine), settings);
            listening.add(door.clone(), socket, Protocol::Http2, router);
        }
        if let Some(listener) = taken.tcp {
            let serving = door.serve(listener, Protocol::Http1, rest::tcp_router(self.api));
            listening.tasks.push(tokio::spawn(serving));
        }
        Ok(listening)
    }

    async fn take(&self, mut passed: Passed) -> Result<Taken, Error> {
        let config = self.config;
        let docker = config.docker.as_ref().map(|of| of.socket.as_path());
        let containerd = config.containerd.as_ref().map(|of| of.socket.as_path());
        let all = [Some(config.socket.as_path()), docker, containerd];
        passed.check_known(&all.into_iter().flatten().collect::<Vec<_>>())?;
        let mut open = |path: &Path| socket::open(path, passed.of(path));
        Ok(Taken {
            rest: open(&config.socket)?,
            docker: docker.map(&mut open).transpose()?,
            containerd: containerd.map(&mut open).transpose()?,
            tcp: match config.tcp {
                Some(address) => Some(connections::bind_tcp(address).await?),
                None => None,
            },
        })
    }
}

impl Listening {
    fn add(&mut self, door: Door, socket: Socket, protocol: Protocol, router: axum::Router) {
        let serving = door.serve(socket.listener, protocol, router);
        self.tasks.push(tokio::spawn(serving));
        self.places.extend(socket.place);
    }
}
