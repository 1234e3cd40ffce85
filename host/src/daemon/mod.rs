//! `mica serve`: the process that holds the engine and answers on its sockets.
//!
//! Start: log, directories, sandbox, engine, default store, sockets. Stop, on SIGTERM or SIGINT: no new connection, the
//! running requests get some time, the engine is closed. Mounts stay; the next start adopts them.
//!
//! Invariant: nothing answers before the engine is whole, and the socket goes before the engine does.

mod activation;
mod check;
mod confine;
mod connections;
mod containerd;
mod directories;
mod drivers;
mod facts;
mod listen;
mod listener;
mod log;
mod notify;
mod own_threads;
mod reload;
mod replay;
mod running;
mod socket;
mod store;
mod telemetry;
mod trial;
mod trusted;

pub(crate) use check::{Checked, check_component};
pub(crate) use drivers::tried_drivers;
#[cfg(fuzzing)]
pub(crate) use facts::kernel;
pub(crate) use replay::replay;
pub(crate) use trial::{Verdict, try_drivers};

use crate::api;
use crate::api::rest::{self, Api};
use crate::children;
use crate::config::{Config, Flags};
use activation::Passed;
use listen::{Fronts, Listening};
use mica_engine::{Class, Engine, EngineSettings, Error as EngineError, Runtime};
use mica_runtime::Compiler;
use mica_text::with_causes;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Threads for the daemon's own calls, beside those that each listener may need.
const OWN_THREAD_COUNT: usize = 64;
/// How long calls of the engine that do not end are waited for after everything else has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log's directives make no sense.
    #[error("setting `log`: `{directives}`: {reason}")]
    Log {
        /// What was given.
        directives: String,
        /// What is wrong.
        reason: String,
    },
    /// Something about a directory or a file failed.
    #[error("{doing} `{}`: {source}", path.display())]
    Path {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Others could change a directory that says what is mounted and run.
    #[error("`{}` is not used: {reason}", path.display())]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// What is wrong, with it or with one above it.
        reason: String,
        /// A command that mends it.
        remedy: String,
    },
    /// Another daemon answers on the socket.
    #[error("another daemon listens on `{}`", .0.display())]
    SocketInUse(PathBuf),
    /// Something else is where the socket should be.
    #[error("`{}` is there and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// A socket was passed that is no interface's.
    #[error("a socket was passed for `{}`, and nothing of the configuration answers there", .0.display())]
    UnknownSocket(PathBuf),
    /// The TCP address cannot be used.
    #[error("listen on `{address}`: {source}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The default store cannot be made, with the driver that was asked for or with any.
    #[error("make the store `default`: {}", with_causes(.0))]
    DefaultStore(mica_engine::Error),
    /// The store of containerd cannot be opened.
    #[error("open store `{store}` for containerd: {}", with_causes(source))]
    ContainerdStore {
        /// The store.
        store: String,
        /// Why.
        source: mica_engine::Error,
    },
    /// The engine does not open.
    #[error("{}", with_causes(.0))]
    Engine(mica_engine::Error),
    /// The sandbox does not start.
    #[error("start the sandbox: {0}")]
    Sandbox(String),
    /// Threads or signals failed.
    #[error("{doing}: {source}")]
    Process {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// What would help.
    pub(crate) fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::ContainerdStore {
                source: EngineError::Busy(_),
                ..
            } => "choose another store with `containerd.store`",
            Self::ContainerdStore { source: error, .. } => return error.remedy(),
            Self::DefaultStore(
                EngineError::NotSupported(_)
                | EngineError::Prerequisites(_)
                | EngineError::IncompatibleFs(_),
            ) => {
                "see `mica doctor` for what the file system lacks, or choose another --root or --driver"
            }
            Self::Untrusted { remedy, .. } => remedy,
            Self::Engine(error) | Self::DefaultStore(error) => return error.remedy(),
            Self::Log { .. } => {
                "use `info`, `debug`, or directives such as `mica_engine=debug,info`"
            }
            Self::SocketInUse(_) => "stop the other daemon, or choose another --socket and --root",
            Self::UnknownSocket(_) => {
                "name it with --socket, --docker-socket or --containerd-socket, or take it out of the service's socket units"
            }
            Self::Tcp { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "choose a port of 1024 or more"
            }
            Self::NoSocket(_) => "move it away, or choose another --socket",
            Self::Path { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run as root, or choose other directories with --root and --run-dir"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The stable word for it, where it is one of the interface's.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Engine(error)
            | Self::DefaultStore(error)
            | Self::ContainerdStore { source: error, .. } => Some(error.code()),
            Self::SocketInUse(_) => Some("locked"),
            Self::Log { .. } => Some("invalid-option"),
            _ => None,
        }
    }

    /// What kind of failure it is, where it is one of the interface's.
    pub(crate) fn class(&self) -> Option<Class> {
        match self {
            Self::Engine(error)
            | Self::DefaultStore(error)
            | Self::ContainerdStore { source: error, .. } => Some(error.class()),
            Self::SocketInUse(_) => Some(Class::InUse),
            Self::Log { .. } => Some(Class::Invalid),
            _ => None,
        }
    }

    fn path(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::Path {
            doing,
            path,
            source,
        }
    }
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`Error`], when it cannot start.
pub(crate) fn serve(mut config: Config, flags: Flags) -> Result<(), Error> {
    let log = log::start(&config.log)?;
    let as_written = config.clone();
    let passed = Passed::take()?;
    // Before there is a second thread, because what a thread gives up is given up for the threads that it starts.
    confine::confine(&mut config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Whatever one listener is asked, the calls of the others have threads.
        .max_blocking_threads(listen::LISTENERS * config.api.calls + OWN_THREAD_COUNT)
        .build()
        .map_err(|source| Error::Process {
            doing: "start threads",
            source,
        })?;
    let containerd = config.containerd.as_ref();
    config.engine.blobs =
        containerd.map(|settings| api::containerd::kept(settings, &config.api, runtime.handle()));
    let result =
        open(&config, Compiler::Child(children::compiler())).and_then(|(engine, sandbox)| {
            runtime.block_on(async {
                let hangup = signal(SignalKind::hangup()).map_err(signals)?;
                tokio::select! {
                    ended = run(&config, engine, sandbox, passed) => ended,
                    () = reload::at_each(hangup, flags, &as_written, &log) => Ok(()),
                }
            })
        });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

/// Opens everything but the sockets, with components compiled in this process: the fuzz targets bring none.
#[cfg(fuzzing)]
pub(crate) fn open_in_process(config: &Config) -> Result<(Arc<Engine>, Arc<Runtime>), Error> {
    open(config, Compiler::InProcess)
}

/// Makes the directories, starts the sandbox, opens the engine, and makes the default store if there is none.
fn open(config: &Config, compiler: Compiler) -> Result<(Arc<Engine>, Arc<Runtime>), Error> {
    let (root, run_dir) = (&config.engine.root, &config.engine.run_dir);
    let cache_dir = root.join("code-cache");
    directories::make_own(root, directories::PRIVATE)?;
    directories::make_own(run_dir, directories::PASSABLE)?;
    directories::check_own(&cache_dir)?;
    if let Some(drivers) = &config.drivers_dir {
        directories::check_own(drivers)?;
    }
    let sandbox = Runtime::new(mica_runtime::Settings {
        limits: config.limits.clone(),
        cache_dir: Some(cache_dir),
        compiler,
    })
    .map_err(|error| Error::Sandbox(error.to_string()))?;
    let (drivers, unreadable_drivers) =
        drivers::sources(config.drivers_dir.as_deref(), config.limits.component_bytes)?;
    let settings = EngineSettings {
        drivers,
        unreadable_drivers,
        ..drivers::settled(config.engine.clone())
    };
    let engine = Engine::open(settings, Arc::clone(&sandbox)).map_err(Error::Engine)?;
    let made = store::make_default(&engine)
        .and_then(|()| containerd::open_store(&engine, config.containerd.as_ref()));
    if made.is_err() {
        engine.close();
    }
    made.map(|()| (engine, sandbox))
}

fn signals(source: io::Error) -> Error {
    Error::Process {
        doing: "wait for signals",
        source,
    }
}

/// Answers until a signal comes.
async fn run(
    config: &Config,
    engine: Arc<Engine>,
    sandbox: Arc<Runtime>,
    passed: Passed,
) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let (stop, stopped) = watch::channel(false);
    let api = Arc::new(Api {
        engine: Arc::clone(&engine),
        runtime: Arc::clone(&sandbox),
        kernel: facts::kernel(),
        memory: facts::memory,
        confinement: confine::view(),
        limits: config.api.clone(),
        answers: config.api.answers(),
        listeners: Arc::default(),
        started: Instant::now(),
        stop: stopped.clone(),
    });
    let fronts = Fronts {
        config,
        engine: &engine,
        api: Arc::clone(&api),
        stream_idle: sandbox.limits().stream_idle(),
        stop: stopped,
    };
    let Listening { places, tasks } = fronts.listen(passed).await?;
    let exporting = telemetry::start(config.telemetry.as_ref(), &engine);
    let state = rest::router(api);
    notify::ready(&config.socket, engine.stores().list().len());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = watched(state) => {}
    }
    tracing::info!("stopping");
    notify::stopping();
    places.iter().for_each(socket::Place::remove);
    // An error means that no one listens any more.
    let _heard = stop.send(true);
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a listener broke");
        }
    }
    if let Err(error) = tokio::task::spawn_blocking(move || engine.close()).await {
        tracing::error!(%error, "close the engine");
    }
    if let Some(exporting) = exporting {
        exporting.end().await;
    }
    Ok(())
}

/// Tells that the daemon lives, for good; waits for good if no one wants to know.
async fn watched(state: axum::Router) {
    notify::beat(state).await;
    std::future::pending().await
}
