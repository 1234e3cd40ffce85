//! The daemon's settings: one TOML file, and flags that go before it.
//!
//! Invariant: a [`Config`] was checked as a whole; nothing reads a setting from anywhere else. A key that is not
//! known is an error that names it.

mod api;
mod containerd;
mod differences;
mod drivers;
mod file;
mod numbers;
mod place;
mod telemetry;
mod texts;
mod trust;

pub(crate) use api::ApiLimits;
pub(crate) use containerd::{CONTENT_ROOT, Containerd, ContainerdLimits, Content};
pub(crate) use file::Flags;
pub(crate) use numbers::{Setting, defaults};
pub(crate) use place::meant;
pub(crate) use telemetry::{Endpoint, Place, Telemetry};
pub(crate) use texts::{TEXTS, Text};

use file::{File, MAX_DEPTH};
use mica_client::Token;
use mica_engine::{EngineSettings, Limits, ScrubSettings, Selection, StoreName};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where stores and drivers are kept unless something else is said.
pub(crate) const DEFAULT_ROOT: &str = "/var/lib/mica";
/// Where mounts and the socket are unless something else is said: it ends with the boot, as mounts do.
pub(crate) const DEFAULT_RUN_DIR: &str = "/run/mica";
/// The socket's name in the run directory.
const SOCKET_NAME: &str = "mica.sock";
/// The longest time after which a call counts as slow, in seconds: a day.
const MAX_SLOW_SECONDS: f64 = 86_400.0;
/// Why TCP is for this machine alone.
const TCP_IS_LOCAL: &str = "everyone who reaches it could do everything";
/// Why numbers are for this machine alone.
const METRICS_ARE_LOCAL: &str = "everyone who reaches it could read what this node does; let an exporter or a proxy of this machine with its own authentication pass it on";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("read the configuration `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file is no TOML, or a key or value in it is not known.
    #[error("configuration `{}`, line {line}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A setting's value cannot be used.
    #[error("{}setting `{setting}`: {reason}", told(place.as_ref()))]
    Invalid {
        /// Where it stands, if in a file.
        place: Option<(PathBuf, usize)>,
        /// The setting.
        setting: String,
        /// What is wrong with its value.
        reason: String,
    },
}

fn told(place: Option<&(PathBuf, usize)>) -> String {
    let text = |(path, line): &(PathBuf, usize)| {
        format!("configuration `{}`, line {line}: ", path.display())
    };
    place.map(text).unwrap_or_default()
}

/// A TCP address, and who may ask there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    /// The address, of this machine alone.
    pub(crate) address: SocketAddr,
    /// Who may ask.
    pub(crate) access: Access,
}

/// Who may use an interface that every process of the machine reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever shows this secret.
    Bearer(Token),
    /// Everyone.
    Everyone,
}

/// Docker's plugin protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DockerSettings {
    /// The socket.
    pub(crate) socket: PathBuf,
    /// The store that is served.
    pub(crate) store: String,
    /// The driver of a new store when dockerd names none; without one the engine chooses.
    pub(crate) driver: Option<String>,
}

/// The daemon's settings, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What the engine is opened with, but for the drivers.
    pub(crate) engine: EngineSettings,
    /// The unix socket.
    pub(crate) socket: PathBuf,
    /// A loopback address to listen on as well.
    pub(crate) tcp: Option<Tcp>,
    /// A loopback address where numbers are told.
    pub(crate) metrics: Option<SocketAddr>,
    /// Where traces are sent, if they are.
    pub(crate) telemetry: Option<Telemetry>,
    /// A directory whose `*.wasm` add or override drivers.
    pub(crate) drivers_dir: Option<PathBuf>,
    /// What is logged: a level, or directives as `mica=debug,info`.
    pub(crate) log: String,
    /// Limits of the sandbox.
    pub(crate) limits: Limits,
    /// Limits of the interfaces.
    pub(crate) api: ApiLimits,
    /// Docker's plugin protocol, if it is spoken.
    pub(crate) docker: Option<DockerSettings>,
    /// The snapshot service for containerd, if there is to be one.
    pub(crate) containerd: Option<Containerd>,
}

impl Config {
    /// Reads the file that the flags name, lets the flags go before it, and checks the whole.
    ///
    /// # Errors
    /// [`Error`], which names the file and the key.
    pub(crate) fn load(flags: Flags) -> Result<Self, Error> {
        let Some(path) = flags.config.clone() else {
            return merge(flags, File::default());
        };
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        of_text(flags, &path, &text)
    }
}

fn of_text(flags: Flags, path: &Path, text: &str) -> Result<Config, Error> {
    let file = toml::from_str(text).map_err(|error| Error::Parse {
        path: path.to_owned(),
        line: place::line_at(text, error.span().map_or(0, |span| span.start)),
        reason: place::reason(&error),
    })?;
    let is_flag = flags.are_about();
    merge(flags, file).map_err(|error| match error {
        Error::Invalid {
            setting, reason, ..
        } => Error::Invalid {
            place: place::line_of(text, &setting)
                .filter(|_| !is_flag.contains(&setting.as_str()))
                .map(|line| (path.to_owned(), line)),
            setting,
            reason,
        },
        error => error,
    })
}

fn merge(flags: Flags, file: File) -> Result<Config, Error> {
    numbers::check(&file)?;
    let drivers = file.drivers.checked()?;
    let max_depth = file.max_depth.unwrap_or(MAX_DEPTH);
    let root = directory("root", flags.root.or(file.root), DEFAULT_ROOT)?;
    let telemetry = file.telemetry.check()?;
    let run_dir = directory("run_dir", flags.run_dir.or(file.run_dir), DEFAULT_RUN_DIR)?;
    let socket = flags.socket.or(file.socket);
    let docker = docker(flags.docker_socket, file.docker)?;
    let socket = socket.map_or_else(
        || Ok(run_dir.join(SOCKET_NAME)),
        |path| full("socket", &path),
    )?;
    Ok(Config {
        containerd: file.containerd.check(flags.containerd_socket, &socket)?,
        socket,
        tcp: tcp(
            flags.tcp.or(file.tcp),
            flags.token_file.or(file.token_file),
            flags.tcp_unauthenticated || file.tcp_unauthenticated,
        )?,
        metrics: match &file.metrics.listen {
            Some(address) => Some(loopback("metrics.listen", address, METRICS_ARE_LOCAL)?),
            None => None,
        },
        drivers_dir: flags.drivers_dir.or(file.drivers_dir),
        log: log(flags.log.or(file.log))?,
        limits: file.limits,
        api: file.api,
        docker,
        engine: EngineSettings {
            selection: Selection {
                named: named(flags.environment, flags.driver, file.driver),
                prior: file.prior_drivers,
                ..Selection::default()
            },
            durability: file.durability,
            bake: Duration::from_secs(file.bake_seconds),
            scrub: scrub(file.scrub)?,
            slow_call: slow_call(file.slow_call_seconds)?,
            spans: telemetry.as_ref().map(|telemetry| telemetry.spans),
            max_depth,
            driver_depths: drivers.depths,
            grants: drivers.grants,
            grants_file: drivers.grants_file,
            require_manifest: drivers.require_manifest,
            trust: drivers.trust,
            ..EngineSettings::new(root, run_dir)
        },
        telemetry,
    })
}

fn docker(socket: Option<PathBuf>, file: file::Docker) -> Result<Option<DockerSettings>, Error> {
    let store = file.store.unwrap_or_else(|| "docker".to_owned());
    StoreName::parse(&store).map_err(|error| invalid("docker.store", error.to_string()))?;
    let Some(socket) = socket.or(file.socket) else {
        return Ok(None);
    };
    Ok(Some(DockerSettings {
        socket: full("docker.socket", &socket)?,
        store,
        driver: file.driver,
    }))
}

/// Who names a driver for all stores, in the order in which it counts. An empty name is none.
fn named(
    environment: Vec<(&'static str, String)>,
    flag: Option<String>,
    file: Option<String>,
) -> Vec<(String, String)> {
    let environment = environment
        .into_iter()
        .map(|(variable, driver)| (format!("`{variable}` of the environment"), driver));
    let flag = flag.map(|driver| ("`--driver`".to_owned(), driver));
    let file = file.map(|driver| ("`driver` of the configuration".to_owned(), driver));
    environment
        .chain(flag)
        .chain(file)
        .filter(|(_, driver)| !driver.is_empty())
        .collect()
}

fn invalid(setting: &str, reason: impl Into<String>) -> Error {
    Error::Invalid {
        place: None,
        setting: setting.to_owned(),
        reason: reason.into(),
    }
}

fn directory(setting: &str, given: Option<PathBuf>, default: &str) -> Result<PathBuf, Error> {
    full(setting, &given.unwrap_or_else(|| default.into()))
}

/// A path that does not change its meaning with the working directory.
fn full(setting: &str, path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path)
        .map_err(|error| invalid(setting, format!("`{}`: {error}", path.display())))
}

/// A level, or directives. A word that is no level would be taken for the name of a part of the program, and nothing be logged.
fn log(given: Option<String>) -> Result<String, Error> {
    let given = given.unwrap_or_else(|| "info".to_owned());
    let is_level = |word: &str| {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        levels.iter().any(|level| level.eq_ignore_ascii_case(word))
    };
    let is_good = |directive: &str| match directive.rsplit_once('=') {
        Some((_, level)) => is_level(level),
        None => is_level(directive) || directive.starts_with("mica"),
    };
    let directives: Vec<&str> = given.split(',').map(str::trim).collect();
    match directives.iter().find(|one| !is_good(one)) {
        // The library that reads them takes no blanks.
        None => Ok(directives.join(",")),
        Some(wrong) => Err(invalid(
            "log",
            format!(
                "`{wrong}` is no level: give off, error, warn, info, debug or trace, or directives such as mica_engine=debug,info"
            ),
        )),
    }
}

fn check_depth(setting: &str, depth: usize) -> Result<(), Error> {
    if (1..=MAX_DEPTH).contains(&depth) {
        return Ok(());
    }
    Err(invalid(
        setting,
        format!("{depth} is not from 1 to {MAX_DEPTH}, the most that overlay can mount"),
    ))
}

/// Who may ask on which address: it is never everyone unless that was said.
fn tcp(
    address: Option<String>,
    token_file: Option<PathBuf>,
    is_for_everyone: bool,
) -> Result<Option<Tcp>, Error> {
    let Some(address) = address
        .as_deref()
        .map(|address| loopback("tcp", address, TCP_IS_LOCAL))
        .transpose()?
    else {
        return Ok(None);
    };
    let access = match (token_file, is_for_everyone) {
        (Some(path), false) => Access::Bearer(
            Token::read(&path)
                .map_err(|error| invalid("token_file", format!("`{}`: {error}", path.display())))?,
        ),
        (None, true) => Access::Everyone,
        (Some(_), true) => {
            return Err(invalid(
                "tcp_unauthenticated",
                "there is a `token_file` as well: leave out one of them",
            ));
        }
        (None, false) => {
            return Err(invalid(
                "tcp",
                "every process of this machine reaches the address: give a secret with `--token-file FILE`, or say `--tcp-unauthenticated`",
            ));
        }
    };
    Ok(Some(Tcp { address, access }))
}

/// An address of this machine alone; otherwise the reason why it must be one.
fn loopback(setting: &str, text: &str, reason: &str) -> Result<SocketAddr, Error> {
    let address: SocketAddr = text.parse().map_err(|error| {
        invalid(
            setting,
            format!("`{text}`: {error}; give an address such as 127.0.0.1:7777"),
        )
    })?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(invalid(
        setting,
        format!("`{text}` is no loopback address: {reason}"),
    ))
}

/// What is done about the content of layers. A store that is named need not be there yet.
fn scrub(section: file::ScrubSection) -> Result<ScrubSettings, Error> {
    for store in section.stores.keys() {
        StoreName::parse(store).map_err(|error| invalid("scrub.stores", error.to_string()))?;
    }
    Ok(section.settings())
}

/// Zero for none, or how long a call may take before it is told.
fn slow_call(seconds: f64) -> Result<Option<Duration>, Error> {
    if !(0.0..=MAX_SLOW_SECONDS).contains(&seconds) {
        let reason = format!("{seconds} is not from 0 to {MAX_SLOW_SECONDS}, a day");
        return Err(invalid("slow_call_seconds", reason));
    }
    Ok((seconds > 0.0).then(|| Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
mod tests;
