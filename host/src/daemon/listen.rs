//! Sockets and addresses: all are taken before any is answered on.
//!
//! Invariant: a socket that cannot be taken leaves nobody half served.

use super::Error;
use super::activation::Passed;
use super::connections::{Door, Front, Protocol};
use super::listener;
use super::socket::{self, Socket};
use crate::api::docker::{self, Docker};
use crate::api::rest::{self, Api};
use crate::api::{self, Entrance};
use crate::config::{Access, Config, DockerSettings, Tcp};
use mica_engine::Engine;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a connection of dockerd's may be idle, at least. Go keeps connections for good, and does not repeat a request on
/// one that is closed just as it is sent.
const DOCKER_IDLE_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Listeners that there may be: REST, Docker, containerd, TCP, and the one for numbers.
pub(super) const LISTENERS: usize = 5;

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
    /// Becomes true when the daemon is to end.
    pub(super) stop: watch::Receiver<bool>,
}

/// Every socket and address of the configuration.
struct Taken {
    rest: Socket,
    docker: Option<Socket>,
    containerd: Option<Socket>,
    tcp: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Fronts<'_> {
    /// Takes every socket and address first, then answers on all of them.
    pub(super) async fn listen(self, passed: Passed) -> Result<Listening, Error> {
        let taken = self.take(passed).await?;
        let config = self.config;
        if let Some(settings) = &config.docker {
            self.engine.stores().serve(&settings.store, "docker");
        }
        tracing::info!(socket = %config.socket.display(), root = %config.engine.root.display(), "ready");
        let mut listening = Listening {
            places: Vec::new(),
            tasks: Vec::new(),
        };
        let idle = config.api.header_timeout();
        let rest = Front {
            protocol: Protocol::Http1,
            router: rest::router(Arc::clone(&self.api)),
            entrance: self.entrance(mica_engine::Front::Rest),
            manners: rest::MANNERS,
            idle,
        };
        listening.add(self.door("rest", rest), taken.rest);
        if let (Some(settings), Some(socket)) = (&config.docker, taken.docker) {
            tracing::info!(socket = %settings.socket.display(), store = settings.store, "ready for Docker");
            listening.add(self.docker(settings, idle), socket);
        }
        if let (Some(settings), Some(socket)) = (&config.containerd, taken.containerd) {
            tracing::info!(socket = %settings.socket.display(), store = settings.store, "ready for containerd");
            let containerd = Front {
                protocol: Protocol::Http2,
                router: api::containerd::router(Arc::clone(self.engine), settings, &config.api),
                entrance: self.entrance(mica_engine::Front::Containerd),
                manners: api::containerd::MANNERS,
                idle,
            };
            listening.add(self.door("containerd", containerd), socket);
        }
        if let (Some(settings), Some(listener)) = (&config.tcp, taken.tcp) {
            tell_of_tcp(settings);
            let tcp = Front {
                protocol: Protocol::Http1,
                router: rest::tcp_router(Arc::clone(&self.api), settings.access.clone()),
                entrance: self.entrance(mica_engine::Front::Rest),
                manners: rest::ADDRESS_MANNERS,
                idle,
            };
            let serving = self.door("tcp", tcp).serve(listener);
            listening.tasks.push(tokio::spawn(serving));
        }
        if let (Some(address), Some(listener)) = (&config.metrics, taken.metrics) {
            tracing::info!(%address, "ready to tell numbers, to every process of this machine");
            let serving = self.metrics(idle).serve(listener);
            listening.tasks.push(tokio::spawn(serving));
        }
        Ok(listening)
    }

    /// What programs that watch the daemon are answered by.
    fn metrics(&self, idle: Duration) -> Door {
        let metrics = Front {
            protocol: Protocol::Http1,
            router: rest::metrics_router(Arc::clone(&self.api)),
            entrance: self.entrance(mica_engine::Front::Rest),
            manners: rest::ADDRESS_MANNERS,
            idle,
        };
        self.door("metrics", metrics)
    }

    /// Docker's plugin protocol.
    fn docker(&self, settings: &DockerSettings, idle: Duration) -> Door {
        let docker = Docker {
            engine: Arc::clone(self.engine),
            stream_idle: self.stream_idle,
            limits: self.config.api.clone(),
            settings: settings.clone(),
        };
        let docker = Front {
            protocol: Protocol::Http1,
            router: docker::router(Arc::new(docker)),
            entrance: self.entrance(mica_engine::Front::Docker),
            manners: docker::MANNERS,
            idle: idle.max(DOCKER_IDLE_TIMEOUT),
        };
        self.door("docker", docker)
    }

    fn entrance(&self, front: mica_engine::Front) -> Entrance {
        let calls = Arc::clone(self.engine.calls());
        Entrance { front, calls }
    }

    fn door(&self, name: &'static str, front: Front) -> Door {
        let door = Door::new(front, self.config.api.clone(), self.stop.clone());
        self.api.listeners.add(name, door.shares());
        door
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
            tcp: match &config.tcp {
                Some(tcp) => Some(listener::bind_tcp(tcp.address).await?),
                None => None,
            },
            metrics: match config.metrics {
                Some(address) => Some(listener::bind_tcp(address).await?),
                None => None,
            },
        })
    }
}

/// Says at each start who may ask over TCP.
fn tell_of_tcp(settings: &Tcp) {
    let address = settings.address;
    match settings.access {
        Access::Bearer(_) => {
            tracing::info!(%address, "ready for TCP, with the secret of the token file")
        }
        Access::Everyone => tracing::warn!(
            %address,
            "ready for TCP without authentication: every process of this machine may do everything"
        ),
    }
}

impl Listening {
    fn add(&mut self, door: Door, socket: Socket) {
        let serving = door.serve(socket.listener);
        self.tasks.push(tokio::spawn(serving));
        self.places.extend(socket.place);
    }
}
