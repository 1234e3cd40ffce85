//! The configuration file, as it is written.
//!
//! Invariant: shape only; what a value means is checked where the flags are merged in.

use super::ApiLimits;
use super::containerd::Section;
use mica_engine::{Durability, Grant, Limits, PriorDrivers};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The whole file. All keys may be left out.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    /// Holds stores and drivers. Default: `/var/lib/mica`.
    pub(super) root: Option<PathBuf>,
    /// Holds mounts and their state; best on a file system that ends with the boot. Default: `/run/mica`.
    pub(super) run_dir: Option<PathBuf>,
    /// The unix socket. Default: `mica.sock` in the run directory.
    pub(super) socket: Option<PathBuf>,
    /// A loopback address and port to listen on as well. Default: none.
    pub(super) tcp: Option<String>,
    /// A file with the secret that clients of `tcp` show as `Authorization: Bearer`. It must be of mode 0600.
    pub(super) token_file: Option<PathBuf>,
    /// Whether `tcp` answers everyone on this machine. Default: no, then `tcp` needs a `token_file`.
    pub(super) tcp_unauthenticated: bool,
    /// The driver of stores that name none, the first start's `default` too. Default: see `prior_drivers`.
    pub(super) driver: Option<String>,
    /// `choose`: a store that names no driver gets the one that has layers already, and several are an error; without
    /// any the first of btrfs, overlay and vfs that works. `warn`: always the first that works, and a warning.
    pub(super) prior_drivers: PriorDrivers,
    /// A directory whose `*.wasm` files add or override drivers. Default: none.
    pub(super) drivers_dir: Option<PathBuf>,
    /// `commit`: a layer counts as published when it is on the device. `none`: when the kernel has it.
    pub(super) durability: Durability,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives as `mica_engine=debug,info`.
    pub(super) log: Option<String>,
    /// Layers that a chain may have, itself included: 1 to 500. Default: 500.
    pub(super) max_depth: Option<usize>,
    /// Seconds that a swap waits for operations of the old build before it ends them. Default: 30.
    pub(super) drain_seconds: u64,
    /// Limits of the sandbox: every field of `mica_runtime::Limits`.
    pub(super) limits: Limits,
    /// Limits of the interfaces: `ApiLimits`.
    pub(super) api: ApiLimits,
    /// Docker's plugin protocol.
    pub(super) docker: Docker,
    /// The snapshot service for containerd.
    pub(super) containerd: Section,
    /// What is said of single drivers, by name.
    pub(super) drivers: BTreeMap<String, Driver>,
}

/// What is said of Docker's plugin protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Docker {
    /// The socket, where dockerd finds it: `/run/docker/plugins/mica.sock`. Default: none, the protocol is not spoken.
    pub(super) socket: Option<PathBuf>,
    /// The store that is served. Default: `docker`.
    pub(super) store: Option<String>,
    /// The driver of a new store when dockerd does not say `--storage-opt mica.driver=NAME`. Default: one is chosen, as
    /// for every store.
    pub(super) driver: Option<String>,
}

/// What is said of one driver.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Driver {
    /// Interfaces of `mica:host` that it may import. Default: the standard grants.
    pub(super) grants: Option<Vec<Grant>>,
    /// Layers that a chain of its stores may have; the smaller of this and the general `max_depth` counts.
    pub(super) max_depth: Option<usize>,
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
            drain_seconds: 30,
            limits: Limits::default(),
            api: ApiLimits::default(),
            docker: Docker::default(),
            containerd: Section::default(),
            drivers: BTreeMap::new(),
        }
    }
}
