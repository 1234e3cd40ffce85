//! Layers and their mounts, as they are asked for and told of.
//!
//! Invariant: data only.

use super::{Pairs, shown};
use crate::{Moment, SnapshotUsage};
use mica_runtime::ArchiveForm;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

// `LayerKind` and `Access` are generated from the contract as well. Those cannot be given the form that they have in
// documents, because both the type and the traits are another crate's, so they are written down here and converted.

/// What a layer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Content of an image.
    #[default]
    Content,
    /// The writable layer of a container.
    ReadWrite,
}

impl From<LayerKind> for mica_runtime::LayerKind {
    fn from(kind: LayerKind) -> Self {
        match kind {
            LayerKind::Content => Self::Content,
            LayerKind::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<mica_runtime::LayerKind> for LayerKind {
    fn from(kind: mica_runtime::LayerKind) -> Self {
        match kind {
            mica_runtime::LayerKind::Content => Self::Content,
            mica_runtime::LayerKind::ReadWrite => Self::ReadWrite,
        }
    }
}

/// What processes may do in a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

impl From<Access> for mica_runtime::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::ReadOnly => Self::ReadOnly,
            Access::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<mica_runtime::Access> for Access {
    fn from(access: mica_runtime::Access) -> Self {
        match access {
            mica_runtime::Access::ReadOnly => Self::ReadOnly,
            mica_runtime::Access::ReadWrite => Self::ReadWrite,
        }
    }
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

/// Asks for a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerRequest {
    /// The new id: 1 to 255 bytes of UTF-8 without `/`, NUL and control characters, not `.` or `..`.
    pub id: String,
    /// The layer to build on; without one the layer is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What the layer is for.
    #[serde(default)]
    pub kind: LayerKind,
    /// An SELinux context for its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    /// Options of this layer alone.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub storage_options: Pairs,
    /// What to do while processes may change the parent; a front end decides it, not its client.
    #[serde(skip)]
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
            storage_options: Pairs::default(),
            live_parent: LiveParent::Refuse,
        }
    }
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerView {
    /// The id.
    pub id: String,
    /// The layer below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it was created for.
    pub kind: LayerKind,
    /// When it was published: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub created: Moment,
    /// Layers that are built on it.
    pub children: u64,
    /// References to its mount; 0 if it is not mounted.
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

/// Asks for a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MountRequest {
    /// What processes may do; by default whatever the layer allows: read-only if it has children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// An SELinux context for all files of the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    /// A name for the reference: 1 to 255 bytes without control characters. A mount that is asked for again with the same name takes no
    /// second reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub reference: Option<String>,
    /// Gives the reference back when this process ends, by its number where the daemon runs; 0 is the client's own process. Only with
    /// `reference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_pid: Option<u32>,
    /// Who asks; a front end knows it, and its client does not say it.
    #[serde(skip)]
    pub client: Option<MountClient>,
}

/// A client that asks for a mount, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountClient {
    /// Its process.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: Option<u32>,
    /// When the process began, as the kernel counts.
    pub started: Option<u64>,
}

/// Who holds a mount by a reference with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HolderView {
    /// The name.
    pub reference: String,
    /// Since when: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub since: Moment,
    /// The process that asked first, if it came over a unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The user of that process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The process that the reference is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_pid: Option<u32>,
    /// Whether the process that it is bound to has ended; of one that is bound to none, whether the process has that asked first.
    pub has_ended: bool,
}

/// Asks to give mount references back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnmountRequest {
    /// Gives back the reference with this name; it is no error if it is not there. Without it one that has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub reference: Option<String>,
    /// Gives back all references; it is no error if there are none.
    #[serde(default)]
    pub all: bool,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MountView {
    /// Where the layer's files are.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// How often it was asked for and not given back.
    pub references: u64,
    /// What processes may do.
    pub access: Access,
    /// Those of the references that have names.
    #[serde(default)]
    pub holders: Vec<HolderView>,
}

/// What is left of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnmountView {
    /// References that are left; at 0 it is unmounted.
    pub references: u64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// Bytes on the device.
    pub bytes: u64,
    /// Inodes, each once; absent where the file system may not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// `quota`: the file system counts the bytes, and this is of the last half minute; `search`: it was asked what is new
    /// or changed, and this is of the last minute; `walk`: the tree was walked.
    #[schema(value_type = String)]
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
