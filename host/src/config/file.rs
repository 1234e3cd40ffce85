//! The flags of `mica serve` and the configuration file, as they are written.
//!
//! Invariant: shape only; what a value means is checked where the two are merged.

use super::ApiLimits;
use super::containerd::Section;
use super::drivers::Drivers;
use super::telemetry;
use mica_engine::{
    Durability, Grant, Granted, Limits, PriorDrivers, ScrubMode, ScrubSettings, WhenDamaged,
};
use mica_runtime::{Number, Rights, UnknownRight};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// What the flags of `mica serve` say; each goes before the same key of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Flags {
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where stores and drivers are kept [default: /var/lib/mica]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Where mounts are; best on a file system that ends with the boot [default: /run/mica]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// The driver of stores that name none
    #[arg(long, value_name = "NAME")]
    pub(crate) driver: Option<String>,
    /// Listen here as well, for clients that show the secret of --token-file; only loopback addresses are accepted
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) tcp: Option<String>,
    /// Answer everyone on this machine over TCP, without a token
    #[arg(long)]
    pub(crate) tcp_unauthenticated: bool,
    /// Speak Docker's plugin protocol on this socket; dockerd looks in /run/docker/plugins
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_socket: Option<PathBuf>,
    /// A directory whose *.wasm files add or override drivers
    #[arg(long, value_name = "DIR")]
    pub(crate) drivers_dir: Option<PathBuf>,
    /// Serve containerd's snapshots on this unix socket, from a store of their own
    #[arg(long, value_name = "PATH")]
    pub(crate) containerd_socket: Option<PathBuf>,
    /// Read the configuration and the flags, tell what is wrong, and start nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// What is logged: error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    // Those of every command, and what the environment has.
    /// The socket.
    #[arg(skip)]
    pub(crate) socket: Option<PathBuf>,
    /// A file with the secret that clients of TCP have to show.
    #[arg(skip)]
    pub(crate) token_file: Option<PathBuf>,
    /// Drivers that the environment names, before `driver` as it is in Docker: variables with their values.
    #[arg(skip)]
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Flags {
    /// Settings that a flag sets, so that what the file says of them does not count.
    pub(super) fn are_about(&self) -> Vec<&'static str> {
        let given = [
            ("root", self.root.is_some()),
            ("run_dir", self.run_dir.is_some()),
            ("socket", self.socket.is_some()),
            ("tcp", self.tcp.is_some()),
            ("token_file", self.token_file.is_some()),
            ("tcp_unauthenticated", self.tcp_unauthenticated),
            ("docker.socket", self.docker_socket.is_some()),
            ("containerd.socket", self.containerd_socket.is_some()),
            ("log", self.log.is_some()),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(setting, _)| setting).collect()
    }
}

/// The whole file. All keys may be left out. What each is for stands in `texts` or, of a number, where its range is.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) root: Option<PathBuf>,
    pub(super) run_dir: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    pub(super) tcp: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) tcp_unauthenticated: bool,
    pub(super) driver: Option<String>,
    pub(super) prior_drivers: PriorDrivers,
    pub(super) drivers_dir: Option<PathBuf>,
    pub(super) durability: Durability,
    pub(super) log: Option<String>,
    pub(super) max_depth: Option<usize>,
    pub(super) bake_seconds: u64,
    pub(super) slow_call_seconds: f64,
    pub(super) limits: Limits,
    pub(super) api: ApiLimits,
    pub(super) docker: Docker,
    pub(super) containerd: Section,
    pub(super) metrics: Metrics,
    pub(super) scrub: ScrubSection,
    pub(super) telemetry: telemetry::Section,
    pub(super) drivers: Drivers,
}

/// What is said of Docker's plugin protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Docker {
    pub(super) socket: Option<PathBuf>,
    pub(super) store: Option<String>,
    pub(super) driver: Option<String>,
}

/// What is said of the numbers that are measured. They are always on the socket, at `/metrics`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) listen: Option<String>,
}

/// What is said of the content of layers.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScrubSection {
    pub(super) digests: ScrubMode,
    pub(super) stores: BTreeMap<String, ScrubMode>,
    pub(super) damaged: WhenDamaged,
    pub(super) repair: bool,
    pub(super) mib_per_second: u64,
    pub(super) days: u64,
}

impl Default for ScrubSection {
    fn default() -> Self {
        Self {
            digests: ScrubMode::default(),
            stores: BTreeMap::new(),
            damaged: WhenDamaged::default(),
            repair: false,
            mib_per_second: 64,
            days: 7,
        }
    }
}

impl ScrubSection {
    pub(super) fn numbers(&self) -> [Number; 2] {
        let rate = "MiB of layers that are read in a second to take or to compare digests, unless someone asked for it. 0 bounds nothing.";
        let days = "Days after the end of a pass over all layers of a store at which the next one begins. 0 waits until someone asks.";
        let default = Self::default();
        [
            Number {
                name: "mib_per_second",
                about: rate.to_owned(),
                value: self.mib_per_second,
                default: default.mib_per_second,
                least: 0,
                most: 1 << 20,
            },
            Number {
                name: "days",
                about: days.to_owned(),
                value: self.days,
                default: default.days,
                least: 0,
                most: 3650,
            },
        ]
    }

    pub(super) fn settings(self) -> ScrubSettings {
        const DAY: u64 = 24 * 60 * 60;
        let some = |number: u64| (number > 0).then_some(number);
        ScrubSettings {
            mode: self.digests,
            stores: self.stores,
            bytes_per_second: some(self.mib_per_second << 20),
            every: some(self.days).map(|days| Duration::from_secs(days * DAY)),
            damaged: self.damaged,
            repair: self.repair,
        }
    }
}

/// What is said of one driver.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Driver {
    pub(super) grants: Option<BTreeSet<Grant>>,
    pub(super) mounts: Option<Vec<String>>,
    pub(super) xattrs: Option<Vec<String>>,
    pub(super) device_nodes: Option<bool>,
    pub(super) audit: bool,
    pub(super) max_depth: Option<usize>,
}

impl Driver {
    /// What the driver is granted, if anything of that is said.
    pub(super) fn granted(&self) -> Result<Option<Granted>, UnknownRight> {
        let (mounts, xattrs) = (self.mounts.as_deref(), self.xattrs.as_deref());
        let is_said = self.grants.is_some()
            || mounts.is_some()
            || xattrs.is_some()
            || self.device_nodes.is_some()
            || self.audit;
        let granted = Granted {
            interfaces: self.grants.clone(),
            rights: Rights::of(mounts, xattrs, self.device_nodes)?,
            audit: self.audit,
        };
        Ok(is_said.then_some(granted))
    }
}

/// Seconds for which a build is watched at most: a week. It keeps two builds in memory.
const MAX_BAKE_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Layers of a chain that overlay can mount.
pub(super) const MAX_DEPTH: usize = 500;

impl File {
    /// The numbers outside of sections.
    pub(super) fn numbers(&self) -> [Number; 2] {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let bake = "Seconds for which a build is watched after a swap; the one before takes over again if it does worse. 0 watches none.";
        let depth = "Layers that a chain may have, itself included: overlay can mount 500.";
        [
            Number {
                name: "max_depth",
                about: depth.to_owned(),
                value: wide(self.max_depth.unwrap_or(MAX_DEPTH)),
                default: wide(MAX_DEPTH),
                least: 1,
                most: wide(MAX_DEPTH),
            },
            Number {
                name: "bake_seconds",
                about: bake.to_owned(),
                value: self.bake_seconds,
                default: Self::default().bake_seconds,
                least: 0,
                most: MAX_BAKE_SECONDS,
            },
        ]
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            root: None,
            run_dir: None,
            socket: None,
            tcp: None,
            token_file: None,
            tcp_unauthenticated: false,
            driver: None,
            prior_drivers: PriorDrivers::default(),
            drivers_dir: None,
            durability: Durability::default(),
            log: None,
            max_depth: None,
            bake_seconds: 60,
            slow_call_seconds: 0.0,
            limits: Limits::default(),
            api: ApiLimits::default(),
            docker: Docker::default(),
            containerd: Section::default(),
            metrics: Metrics::default(),
            scrub: ScrubSection::default(),
            telemetry: telemetry::Section::default(),
            drivers: Drivers::default(),
        }
    }
}
