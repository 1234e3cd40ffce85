//! What the engine is asked with, and what it tells.
//!
//! Invariant: data only; what is serialized here is what protocols and the command line read.

use crate::error::kept;
use crate::settings::Durability;
use crate::{Moment, SnapshotUsage, words};
use mica_runtime::{Access, ArchiveForm, LayerKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Asks for a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRequest {
    /// The new name.
    pub name: String,
    /// The driver; without one the engine chooses, and says why.
    pub driver: Option<String>,
    /// The driver's options, in order.
    pub options: Vec<(String, String)>,
    /// Whom the store is for, in the words of the front end that makes it. The engine keeps it and never reads it.
    pub client: Option<String>,
}

/// What to do about processes that may change the parent of a new layer right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveParent {
    /// Refuse: what the new layer is built on must not change below it.
    #[default]
    Refuse,
    /// Build on it: the caller answers for it that no one changes the parent any more.
    Accept,
}

/// What becomes of the last reference to a mount that is in use when it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBusy {
    /// It stays: the caller tries again.
    Hold,
    /// It goes, for the caller will not try again: the mount stays attached until anyone needs its layer unmounted.
    LetGo,
}

/// What becomes of mounts that no one holds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// They stay attached until they are given back, mounted otherwise or removed with their layers: processes may
    /// still use them.
    Keep,
    /// They are unmounted; those that are in use stay attached.
    Unmount,
}

/// Asks for a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRequest {
    /// The new id.
    pub id: String,
    /// The layer to build on.
    pub parent: Option<String>,
    /// What the layer is for.
    pub kind: LayerKind,
    /// An SELinux context for its files.
    pub mount_label: Option<String>,
    /// Options of this layer alone.
    pub storage_options: Vec<(String, String)>,
    /// What to do while processes may change the parent.
    pub live_parent: LiveParent,
}

impl LayerRequest {
    /// A content layer without options.
    #[must_use]
    pub fn new(id: impl Into<String>, parent: Option<&str>) -> Self {
        Self {
            id: id.into(),
            parent: parent.map(str::to_owned),
            kind: LayerKind::Content,
            mount_label: None,
            storage_options: Vec::new(),
            live_parent: LiveParent::Refuse,
        }
    }
}

/// Asks for a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountRequest {
    /// What processes may do; by default whatever the layer allows: read-only if it has children, else read-write.
    pub access: Option<Access>,
    /// An SELinux context for all files of the mount.
    pub mount_label: Option<String>,
}

/// How it is known what a layer occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageSource {
    /// The file system counts it: of the last half minute, at the same cost for any layer.
    Quota,
    /// The file system was asked for the nodes that are new or changed, at the cost of those: of the last minute.
    Search,
    /// Its tree was walked.
    Walk,
}

/// What a layer occupies beyond its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Bytes on the device.
    pub bytes: u64,
    /// Inodes, each once; `None` where the file system may not be asked.
    pub inodes: Option<u64>,
    /// How it is known.
    pub source: UsageSource,
}

impl From<UsageView> for SnapshotUsage {
    fn from(measured: UsageView) -> Self {
        Self {
            bytes: measured.bytes,
            inodes: measured.inodes,
        }
    }
}

/// What a layer is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DiffParent {
    /// The layer that it was created from.
    #[default]
    Own,
    /// Nothing: the whole layer.
    None,
    /// This layer.
    Layer(String),
}

/// Asks for a difference as an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffRequest {
    /// The layer.
    pub id: String,
    /// What it is compared with.
    pub parent: DiffParent,
    /// The form of the archive.
    pub form: ArchiveForm,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerView {
    /// The id.
    pub id: String,
    /// The layer below.
    pub parent: Option<String>,
    /// What it was created for.
    #[serde(with = "words::kind")]
    pub kind: LayerKind,
    /// When it was published.
    pub created: Moment,
    /// Layers that are built on it.
    pub children: u64,
    /// References to its mount; 0 if it is not mounted, or no one holds the mount any more.
    pub mounts: u64,
    /// Layers of its chain, itself included.
    pub depth: u64,
    /// The number of its directory.
    pub number: u64,
    /// Its store.
    pub store: String,
    /// The store's driver.
    pub driver: String,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountView {
    /// Where the layer's files are.
    pub path: PathBuf,
    /// How often it was asked for and not given back.
    pub references: u64,
    /// What processes may do.
    #[serde(with = "words::access")]
    pub access: Access,
}

/// What is left of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmountView {
    /// References that are left; at 0 it is unmounted.
    pub references: u64,
}

/// The file system below a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// The original's FsMagic.
    pub magic: u32,
    /// The original's name for it, or `<unknown>`.
    pub name: String,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that are free for root.
    pub free_bytes: u64,
    /// Inodes in all; 0 where they are not counted.
    pub total_inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreView {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Why it is this driver, if the store was made without naming one.
    pub chosen: Option<String>,
    /// The driver's options, in order.
    pub options: Vec<(String, String)>,
    /// Whom it is for, in the words of the front end that made it.
    pub client: Option<String>,
    /// When it was made.
    pub created: Moment,
    /// Its home.
    pub path: PathBuf,
    /// The file system of its home.
    pub backing: Backing,
    /// Layers that it has.
    pub layers: u64,
    /// Layers of it that are mounted.
    pub mounts: u64,
    /// What the driver says of its state, in order; only when one store is asked for.
    pub status: Vec<(String, String)>,
    /// Why the store cannot be used, if it cannot.
    pub unavailable: Option<String>,
}

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverView {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it says of itself.
    pub summary: String,
    /// `sha256:` and the hexadecimal digest of the component.
    pub digest: String,
    /// Bytes of the component.
    pub size_bytes: u64,
    /// `embedded`, `directory` or `uploaded`.
    pub origin: String,
    /// `proto` or `full`: what its author exported.
    pub world: String,
    /// Whether naive-diff was composed with it.
    pub composed: bool,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it may import.
    pub grants: Vec<String>,
    /// Options that it knows, each with a sentence.
    pub options: Vec<(String, String)>,
    /// Stores that it serves.
    pub stores: Vec<String>,
    /// How often the slot's build was loaded, from 1 on.
    pub generation: u64,
    /// When the build was loaded.
    pub loaded: Moment,
    /// Digest of the build that a swap without a component goes back to.
    pub previous: Option<String>,
    /// Operations that run now.
    pub running: u64,
    /// Operations that were begun.
    pub operations: u64,
    /// Operations that the driver broke in.
    pub faults: u64,
    /// Why nobody may call it any more, if it is so.
    pub quarantined: Option<String>,
    /// What is kept from calling it: layers, stores, and everyone last.
    pub quarantines: Vec<QuarantineView>,
}

/// Something that is kept from calling a driver, because the driver broke there too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineView {
    /// The store; `None` for everyone.
    pub store: Option<String>,
    /// The layer; `None` for the whole store.
    pub layer: Option<String>,
    /// Since when.
    pub since: Moment,
    /// How often the driver broke, and how the last time.
    pub reason: String,
}

impl fmt::Display for QuarantineView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = kept(self.store.as_deref(), self.layer.as_deref());
        write!(f, "{kept}: {}", self.reason)
    }
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapReport {
    /// The driver.
    pub driver: String,
    /// Digest of the build that ran before.
    pub old_digest: String,
    /// Digest of the build that runs now.
    pub new_digest: String,
    /// Milliseconds that loading took.
    pub compile_ms: u64,
    /// Milliseconds that the probe in a scratch store took.
    pub probe_ms: u64,
    /// Whether the operations of the old build ended by themselves before the deadline.
    pub drained: bool,
    /// Operations that ran on the old build when the new one took over.
    pub running_on_old: u64,
}

/// Something on disk or in the run directory that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The store, if it is about one.
    pub store: Option<String>,
    /// What is wrong, with the path.
    pub detail: String,
}

/// What the engine has and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// The root directory.
    pub root: PathBuf,
    /// The run directory.
    pub run_dir: PathBuf,
    /// When a layer counts as published.
    pub durability: Durability,
    /// Drivers.
    pub drivers: u64,
    /// Stores.
    pub stores: u64,
    /// Layers of all stores.
    pub layers: u64,
    /// Mounted layers of all stores.
    pub mounts: u64,
    /// Driver operations that run now.
    pub running: u64,
    /// Driver operations that were begun.
    pub operations: u64,
    /// Driver operations that a driver broke in.
    pub faults: u64,
    /// What needs a person: quarantined layers, drivers and stores that could not be loaded.
    pub problems: Vec<Problem>,
}
