//! `mica serve`.
//!
//! Invariant: reads flags and starts the daemon; nothing of the daemon is here.

use std::path::PathBuf;

use crate::config::{self, Config, Flags};
use crate::daemon;
use mica_client::{Exit, Failure, Printer, pairs};
use mica_runtime::Number;
use serde_json::json;

/// What `mica serve --help` ends with; `{drivers}` are those that are tried in turn.
const HELP: &str = "\
The first start makes the store `default`. A store that names no driver gets the one that
MICA_DRIVER, DOCKER_DRIVER or --driver names, else the one that has layers already, else the first
of {drivers} that works on the root's file system.

SIGTERM and SIGINT end the daemon; mounts stay, and the next start adopts them. SIGHUP reads the
configuration again: `log` counts at once, the log tells what waits for the next start.

The configuration is one TOML file. An unknown key is an error that names it; `--check` tells what is
wrong, and `mica explain configuration` what each number bounds, and from where to where:
  root = \"/var/lib/mica\"
  run_dir = \"/run/mica\"
  driver = \"overlay\"             # of stores that name none
  prior_drivers = \"choose\"       # else the one that has layers; \"warn\": Docker's way of 2015
  durability = \"commit\"          # or \"none\": faster, and a power cut may lose the last layers
  tcp = \"127.0.0.1:7777\"        # with a token_file, or with tcp_unauthenticated = true
  slow_call_seconds = 1          # log calls that take longer; 0, the default, logs none
  token_file = \"/etc/mica/token\" # mode 0600; clients send it as `Authorization: Bearer`
  [limits]                       # of the sandbox: memory, time, handles
  [api]                          # of each listener, and with client_ before it of each client
  connections = 1024
  [metrics]                      # /metrics is on the socket, and here for Prometheus
  listen = \"127.0.0.1:9464\"
  [telemetry]                    # traces, to a collector of this machine
  otlp_endpoint = \"http://127.0.0.1:4318\"
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
  mica --socket /tmp/m/mica.sock serve --root /tmp/m/root --run-dir /tmp/m/run --log debug";

/// Arguments of `mica serve`. Each goes before the same key of the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP.replace("{drivers}", &in_words(&daemon::tried_drivers())))]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    flags: Flags,
}

/// Names as a sentence has them: `a, b and c`.
fn in_words(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
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
    printer: &Printer,
    arguments: ServeArguments,
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
) -> Result<(), Failure> {
    let flags = Flags {
        socket,
        token_file,
        environment: named_by_environment(),
        ..arguments.flags
    };
    let config = Config::load(flags.clone());
    let config = config.map_err(unusable)?;
    if flags.check {
        return checked(printer, &config);
    }
    daemon::serve(config, flags).map_err(|error| Failure::Told {
        what: error.to_string(),
        remedy: error.remedy(),
        exit: error.class().map_or(Exit::Failed, |class| {
            Exit::of_problem(class.word(), error.code().unwrap_or_default())
        }),
        code: error.code(),
    })
}

/// A configuration that cannot be used.
pub(super) fn unusable(error: config::Error) -> Failure {
    Failure::Told {
        what: error.to_string(),
        remedy: None,
        exit: Exit::Invalid,
        code: Some("invalid-option"),
    }
}

/// What a daemon would be started with.
fn checked(printer: &Printer, config: &Config) -> Result<(), Failure> {
    let (root, run_dir) = (&config.engine.root, &config.engine.run_dir);
    let traces = config.telemetry.as_ref();
    let traces = traces.map(|telemetry| telemetry.endpoint.to_string());
    let document = json!({
        "root": root,
        "run_dir": run_dir,
        "socket": config.socket,
        "log": config.log,
        "traces": traces,
        "limits": config.limits,
        "api": config.api,
    });
    printer.result(&document, || {
        let usual = |number: &Number| number.value == number.default;
        let sections = [
            ("limits", config.limits.numbers()),
            ("api", config.api.numbers()),
        ];
        let numbers = sections.iter().flat_map(|(section, numbers)| {
            let others = numbers.iter().filter(|number| !usual(number));
            others.map(move |number| (format!("{section}.{}", number.name), number))
        });
        let numbers: Vec<_> = numbers.collect();
        let mut text = pairs([
            ("root", root.display().to_string()),
            ("run dir", run_dir.display().to_string()),
            ("socket", config.socket.display().to_string()),
            ("log", config.log.clone()),
            ("traces", traces.unwrap_or_else(|| "-".to_owned())),
        ]);
        for (name, number) in numbers {
            let Number { value, default, .. } = number;
            text.push_str(&format!("{name} = {value} instead of {default}\n"));
        }
        text + "the configuration is good"
    })
}
