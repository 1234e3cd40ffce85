//! The daemon's settings: one TOML file, and flags that go before it.
//!
//! Invariant: a [`Config`] was checked as a whole; nothing reads a setting from anywhere else. A key that is not
//! known is an error that names it.

mod api;
mod containerd;
mod file;

pub(crate) use api::ApiLimits;
pub(crate) use containerd::{CONTENT_ROOT, Containerd, ContainerdLimits, Content};
pub(crate) use file::Flags;

use file::File;
use mica_client::Token;
use mica_engine::{EngineSettings, Limits, Selection, StoreName};
use std::collections::BTreeMap;
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
/// Layers of a chain that overlay can mount.
const MAX_DEPTH: usize = 500;

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
    #[error("configuration `{}`: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        reason: String,
    },
    /// A setting's value cannot be used.
    #[error("setting `{setting}`: {reason}")]
    Invalid {
        /// The setting.
        setting: String,
        /// What is wrong with its value.
        reason: String,
    },
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
        let file = match &flags.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        merge(flags, file)
    }
}

fn read(path: &Path) -> Result<File, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<File, Error> {
    toml::from_str(text).map_err(|error| Error::Parse {
        path: path.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

fn merge(flags: Flags, file: File) -> Result<Config, Error> {
    let mut grants = BTreeMap::new();
    let mut driver_depths = BTreeMap::new();
    for (name, driver) in file.drivers {
        if let Some(granted) = driver.grants {
            grants.insert(name.clone(), granted.into_iter().collect());
        }
        if let Some(depth) = driver.max_depth {
            check_depth(&format!("drivers.{name}.max_depth"), depth)?;
            driver_depths.insert(name, depth);
        }
    }
    let max_depth = file.max_depth.unwrap_or(MAX_DEPTH);
    check_depth("max_depth", max_depth)?;
    file.api.check()?;
    let root = directory("root", flags.root.or(file.root), DEFAULT_ROOT)?;
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
        drivers_dir: flags.drivers_dir.or(file.drivers_dir),
        log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
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
            drain: Duration::from_secs(file.drain_seconds),
            max_depth,
            driver_depths,
            grants,
            ..EngineSettings::new(root, run_dir)
        },
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
        setting: setting.to_owned(),
        reason: reason.into(),
    }
}

/// Refuses what would refuse everything.
fn check_not_zero(setting: &str, value: u64) -> Result<(), Error> {
    match value {
        0 => Err(invalid(setting, "0 would refuse everything")),
        _ => Ok(()),
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
    let Some(address) = address.as_deref().map(loopback).transpose()? else {
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

/// An address of this machine alone: whoever reaches the socket may do everything.
fn loopback(text: &str) -> Result<SocketAddr, Error> {
    let address: SocketAddr = text.parse().map_err(|error| {
        invalid(
            "tcp",
            format!("`{text}`: {error}; give an address such as 127.0.0.1:7777"),
        )
    })?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(invalid(
        "tcp",
        format!("`{text}` is no loopback address: everyone who reaches it could do everything"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_engine::{Durability, PriorDrivers};

    fn config(flags: Flags, text: &str) -> Result<Config, Error> {
        parse(Path::new("mica.toml"), text).and_then(|file| merge(flags, file))
    }

    fn refusal(text: &str) -> String {
        config(Flags::default(), text).unwrap_err().to_string()
    }

    #[test]
    fn without_file_and_flags_the_usual_places_are_used() {
        let config = Config::load(Flags::default()).unwrap();
        assert_eq!(config.engine.root, Path::new(DEFAULT_ROOT));
        assert_eq!(config.socket, Path::new("/run/mica/mica.sock"));
        assert_eq!((config.tcp, config.engine.selection.named.len()), (None, 0));
        assert_eq!(config.engine.selection.prior, PriorDrivers::Choose);
        assert_eq!(config.docker, None);
        assert_eq!(
            (config.log.as_str(), config.engine.max_depth),
            ("info", 500)
        );
        assert_eq!(config.engine.durability, Durability::Commit);
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.api, ApiLimits::default());
    }

    #[test]
    fn flags_go_before_the_file() {
        let flags = Flags {
            root: Some("/flag".into()),
            ..Flags::default()
        };
        let text = "root = '/file'\nrun_dir = '/run/file'\ntcp = '[::1]:80'\ntcp_unauthenticated = true\nlog = 'debug'";
        let config = config(flags, text).unwrap();
        assert_eq!(config.engine.root, Path::new("/flag"));
        assert_eq!(config.socket, Path::new("/run/file/mica.sock"));
        assert_eq!(config.tcp.unwrap().address.port(), 80);
        assert_eq!(config.log, "debug");
    }

    #[test]
    fn a_driver_is_named_by_the_environment_before_the_flag_before_the_file() {
        let flags = |environment: &[(&'static str, &str)], flag: Option<&str>| Flags {
            environment: environment
                .iter()
                .map(|(variable, driver)| (*variable, (*driver).to_owned()))
                .collect(),
            driver: flag.map(str::to_owned),
            ..Flags::default()
        };
        let first = |flags| {
            let selection = config(flags, "driver = 'file'").unwrap().engine.selection;
            selection.named.into_iter().next().unwrap().1
        };
        let both = [("MICA_DRIVER", "mica"), ("DOCKER_DRIVER", "docker")];
        assert_eq!(first(flags(&both, Some("flag"))), "mica");
        let empty = [("MICA_DRIVER", ""), ("DOCKER_DRIVER", "docker")];
        assert_eq!(first(flags(&empty, Some("flag"))), "docker");
        assert_eq!(first(flags(&[], Some("flag"))), "flag");
        assert_eq!(first(flags(&[], None)), "file");
    }

    #[test]
    fn every_setting_can_be_given() {
        let text = "
            root = '/r'\nrun_dir = '/run/r'\nsocket = '/run/s'\ntcp = '127.0.0.1:1'\ntcp_unauthenticated = true\ndriver = 'vfs'
            drivers_dir = '/d'\ndurability = 'none'\nlog = 'warn'\nmax_depth = 9\ndrain_seconds = 3\nprior_drivers = 'warn'
            [limits]\nshort_seconds = 5\n[api]\nconnections = 7
            [containerd]\nsocket = '/run/c'\nstore = 'k8s'\ndriver = 'vfs'\nshare_content = true\ncall_seconds = 2
            [docker]\nsocket = '/run/d'\nstore = 'images'\ndriver = 'vfs'
            [drivers.overlay]\ngrants = ['home', 'log']\nmax_depth = 4";
        let config = config(Flags::default(), text).unwrap();
        assert_eq!(config.engine.durability, Durability::None);
        assert_eq!(config.tcp.unwrap().access, Access::Everyone);
        assert_eq!(config.engine.selection.prior, PriorDrivers::Warn);
        assert_eq!(
            (config.engine.max_depth, config.engine.drain.as_secs()),
            (9, 3)
        );
        assert_eq!(
            (config.limits.short_seconds, config.api.connections),
            (5, 7)
        );
        assert_eq!(config.engine.grants["overlay"].iter().count(), 2);
        assert_eq!(config.engine.driver_depths["overlay"], 4);
        let containerd = config.containerd.unwrap();
        assert_eq!(containerd.socket, Path::new("/run/c"));
        assert_eq!(
            (containerd.store.as_str(), containerd.driver.as_deref()),
            ("k8s", Some("vfs"))
        );
        assert_eq!(containerd.content, Content::Shared);
        assert_eq!(containerd.limits.call().as_secs(), 2);
        let docker = config.docker.unwrap();
        assert_eq!(docker.socket, Path::new("/run/d"));
        assert_eq!(
            (docker.store.as_str(), docker.driver.as_deref()),
            ("images", Some("vfs"))
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, names) in [
            ("bogus_key = 1", "bogus_key"),
            ("[limits]\nbogus_limit = 1", "bogus_limit"),
            ("[api]\nbogus = 1", "bogus"),
            ("[drivers.vfs]\nbogus = 1", "bogus"),
            ("[docker]\nbogus = 1", "bogus"),
            ("[containerd]\nbogus = 1", "bogus"),
            ("[containerd]\ncall_seconds = 0", "containerd.call_seconds"),
            (
                "[containerd]\nsocket = '/run/mica/mica.sock'",
                "socket of REST",
            ),
            ("[containerd]\nstore = 'A/b'", "containerd.store"),
            ("[docker]\nstore = 'A/b'", "docker.store"),
            ("[drivers.vfs]\ngrants = ['everything']", "everything"),
            ("durability = 'sometimes'", "sometimes"),
            ("root = [1", "line 1"),
            ("tcp = '0.0.0.0:1'", "0.0.0.0"),
            ("tcp = '127.0.0.1:1'", "--tcp-unauthenticated"),
            ("[api]\nclient_streams = 0", "api.client_streams"),
            ("tcp = 'localhost'", "localhost"),
            ("max_depth = 501", "max_depth"),
            ("[drivers.vfs]\nmax_depth = 0", "drivers.vfs.max_depth"),
            ("[api]\nexpansion = 0", "api.expansion"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(names), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let flags = Flags {
            config: Some("/nonexistent/mica.toml".into()),
            ..Flags::default()
        };
        let error = Config::load(flags).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/mica.toml"), "{error}");
    }
}
