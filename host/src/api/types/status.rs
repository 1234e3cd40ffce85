//! The daemon's state on the wire.
//!
//! Invariant: data only.

use super::Attention;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the running kernel can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct KernelView {
    /// The release, as `uname -r` tells it.
    pub(crate) release: String,
    /// `openat2` is there. Nothing works without it.
    pub(crate) openat2: bool,
    /// Mounts can be made through descriptors.
    pub(crate) mount_api: bool,
    /// The layers of an overlay can be given as descriptors.
    pub(crate) overlay_fds: bool,
    /// Mounts have unique ids that can be asked for.
    pub(crate) statmount: bool,
    /// Extended attributes can be reached through descriptors.
    pub(crate) xattrat: bool,
    /// Types of file systems that the kernel has loaded.
    pub(crate) filesystems: Vec<String>,
}

/// The sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RuntimeView {
    /// `pooling` or `on-demand`.
    pub(crate) allocator: String,
    /// The wasmtime release.
    pub(crate) wasmtime: String,
    /// Where compiled code is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_dir: Option<String>,
    /// What the processes that check and compile components could not give away before they read one, each with the reason;
    /// empty where they are confined by an empty mount namespace, no privileges, Landlock and seccomp.
    pub(crate) compiler_lacks: Vec<String>,
    /// Operations in the sandbox now.
    pub(crate) live_operations: u64,
    /// Operations in the sandbox since the start.
    pub(crate) operations: u64,
}

/// Memory of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MemoryView {
    /// Resident bytes now.
    pub(crate) resident_bytes: u64,
    /// Most resident bytes since the start.
    pub(crate) peak_bytes: u64,
}

/// What the daemon may still do after it gave up what it does not need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ConfinementView {
    /// Capabilities in effect, without `CAP_`; a number for one that the daemon has no use for.
    pub(crate) capabilities: Vec<String>,
    /// Capabilities that anything it executes could have.
    pub(crate) bounding: Vec<String>,
    /// Nothing that it executes gains a right.
    pub(crate) no_new_privs: bool,
    /// Landlock is in force. It is not: a process under Landlock may not mount.
    pub(crate) landlock: bool,
    /// Descriptors that may be open at once.
    pub(crate) open_files: u64,
}

/// What the daemon is, has and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusView {
    /// Mica's version.
    pub(crate) version: String,
    /// The daemon's process.
    pub(crate) pid: u32,
    /// Seconds since the start.
    pub(crate) uptime_seconds: u64,
    /// The root directory.
    pub(crate) root: String,
    /// The run directory.
    pub(crate) run_dir: String,
    /// When a layer counts as published: `commit` or `none`.
    pub(crate) durability: String,
    /// Stores.
    pub(crate) stores: u64,
    /// Drivers.
    pub(crate) drivers: u64,
    /// Layers of all stores.
    pub(crate) layers: u64,
    /// Mounted layers of all stores.
    pub(crate) mounts: u64,
    /// Driver operations that run now.
    pub(crate) running: u64,
    /// Driver operations since the start.
    pub(crate) operations: u64,
    /// Driver operations that a driver broke in.
    pub(crate) faults: u64,
    /// The kernel.
    pub(crate) kernel: KernelView,
    /// The sandbox.
    pub(crate) runtime: RuntimeView,
    /// The daemon's memory; absent where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<MemoryView>,
    /// What the daemon may still do; absent where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confinement: Option<ConfinementView>,
    /// What needs a person.
    pub(crate) problems: Vec<Attention>,
}

impl RuntimeView {
    /// Puts together what the sandbox tells.
    pub(crate) fn new(facts: mica_engine::RuntimeFacts, compiler_lacks: &[String]) -> Self {
        Self {
            compiler_lacks: compiler_lacks.to_vec(),
            allocator: facts.allocator.to_owned(),
            wasmtime: facts.wasmtime.to_owned(),
            cache_dir: facts.cache_dir.map(|path| path.display().to_string()),
            live_operations: facts.live_operations,
            operations: facts.operations,
        }
    }
}
