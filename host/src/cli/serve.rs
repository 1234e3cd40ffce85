//! `mica serve`.
//!
//! Invariant: reads flags and starts the daemon; nothing of the daemon is here.

use std::path::PathBuf;

use crate::config::{Config, Flags};
use crate::daemon;
use mica_client::{Exit, Failure};

/// Arguments of `mica serve`. Each goes before the same key of the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first start makes the store `default`. A store that names no driver gets the one that
MICA_DRIVER, DOCKER_DRIVER or --driver names, else the one that has layers already, else the first
of btrfs, overlay and vfs that works on the root's file system.

SIGTERM and SIGINT end the daemon; mounts stay, and the next start adopts them.

The configuration is one TOML file. An unknown key is an error that names it:
  root = \"/var/lib/mica\"
  run_dir = \"/run/mica\"
  driver = \"overlay\"             # of stores that name none
  prior_drivers = \"choose\"       # else the one that has layers; \"warn\": Docker's way of 2015
  durability = \"commit\"          # or \"none\": faster, and a power cut may lose the last layers
  tcp = \"127.0.0.1:7777\"        # with a token_file, or with tcp_unauthenticated = true
  token_file = \"/etc/mica/token\" # mode 0600; clients send it as `Authorization: Bearer`
  [limits]                       # of the sandbox: memory, time, handles
  [api]                          # of each listener, and with client_ before it of each client
  connections = 1024
  [docker]
  socket = \"/run/docker/plugins/mica.sock\"
  [containerd]
  socket = \"/run/mica/containerd.sock\"   # containerd's proxy plugin goes there
  store = \"containerd\"          # for one containerd alone; made at the first start
  [drivers.hello]
  grants = [\"directory\", \"home\"]

Examples:
  mica serve
  mica serve --docker-socket /run/docker/plugins/mica.sock
  mica serve --root /mnt/disk/mica --run-dir /run/mica --driver overlay
  mica --socket /tmp/m/mica.sock serve --root /tmp/m/root --run-dir /tmp/m/run --log debug")]
pub(crate) struct ServeArguments {
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where stores and drivers are kept [default: /var/lib/mica]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where mounts are; best on a file system that ends with the boot [default: /run/mica]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The driver of stores that name none
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Listen here as well, for clients that show the secret of --token-file; only loopback addresses are accepted
    #[arg(long, value_name = "ADDRESS:PORT")]
    tcp: Option<String>,
    /// Answer everyone on this machine over TCP, without a token
    #[arg(long)]
    tcp_unauthenticated: bool,
    /// Speak Docker's plugin protocol on this socket; dockerd looks in /run/docker/plugins
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// A directory whose *.wasm files add or override drivers
    #[arg(long, value_name = "DIR")]
    drivers_dir: Option<PathBuf>,
    /// Serve containerd's snapshots on this unix socket, from a store of their own
    #[arg(long, value_name = "PATH")]
    containerd_socket: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// Drivers that the environment names: ours, and that of the original.
fn named_by_environment() -> Vec<(&'static str, String)> {
    let value = |variable| {
        std::env::var(variable)
            .ok()
            .map(|driver| (variable, driver))
    };
    ["MICA_DRIVER", "DOCKER_DRIVER"]
        .into_iter()
        .filter_map(value)
        .collect()
}

/// Runs the daemon until it is told to end.
pub(crate) fn run(
    arguments: ServeArguments,
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
) -> Result<(), Failure> {
    let config = Config::load(Flags {
        config: arguments.config,
        root: arguments.root,
        run_dir: arguments.run_dir,
        socket,
        tcp: arguments.tcp,
        token_file,
        tcp_unauthenticated: arguments.tcp_unauthenticated,
        driver: arguments.driver,
        environment: named_by_environment(),
        drivers_dir: arguments.drivers_dir,
        log: arguments.log,
        docker_socket: arguments.docker_socket,
        containerd_socket: arguments.containerd_socket,
    });
    let config = config.map_err(|error| Failure::Serve {
        what: error.to_string(),
        remedy: None,
        exit: Exit::Invalid,
        code: Some("invalid-option"),
    })?;
    daemon::serve(config).map_err(|error| Failure::Serve {
        what: error.to_string(),
        remedy: error.remedy(),
        exit: error.class().map_or(Exit::Failed, |class| {
            Exit::of_problem(class.word(), error.code().unwrap_or_default())
        }),
        code: error.code(),
    })
}
