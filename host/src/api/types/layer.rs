//! Layers, their mounts and their differences on the wire.
//!
//! Invariant: data only.

use super::Pairs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a layer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LayerKind {
    /// Content of an image.
    #[default]
    Content,
    /// The writable layer of a container.
    ReadWrite,
}

/// What processes may do in a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Asks for a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerRequest {
    /// The new id: 1 to 255 bytes of UTF-8 without `/`, NUL and control characters, not `.` or `..`.
    pub(crate) id: String,
    /// The layer to build on; without one the layer is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// What the layer is for.
    #[serde(default)]
    pub(crate) kind: LayerKind,
    /// An SELinux context for its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mount_label: Option<String>,
    /// Options of this layer alone.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) storage_options: Pairs,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LayerView {
    /// The id.
    pub(crate) id: String,
    /// The layer below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// What it was created for.
    pub(crate) kind: LayerKind,
    /// When it was published: RFC 3339, UTC.
    pub(crate) created: String,
    /// Layers that are built on it.
    pub(crate) children: u64,
    /// References to its mount; 0 if it is not mounted.
    pub(crate) mounts: u64,
    /// Layers of its chain, itself included.
    pub(crate) depth: u64,
    /// The number of its directory.
    pub(crate) number: u64,
    /// Its store.
    pub(crate) store: String,
    /// The store's driver.
    pub(crate) driver: String,
}

/// A page of layers in byte order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LayerList {
    /// The page.
    pub(crate) layers: Vec<LayerView>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Asks for a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MountRequest {
    /// What processes may do; by default whatever the layer allows: read-only if it has children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Access>,
    /// An SELinux context for all files of the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mount_label: Option<String>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MountView {
    /// Where the layer's files are.
    pub(crate) path: String,
    /// How often it was asked for and not given back.
    pub(crate) references: u64,
    /// What processes may do.
    pub(crate) access: Access,
}

/// What is left of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UnmountView {
    /// References that are left; at 0 it is unmounted.
    pub(crate) references: u64,
}

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SizeView {
    /// Bytes that were added or modified, each inode once.
    pub(crate) size_bytes: u64,
}

/// What a layer occupies beyond its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UsageView {
    /// Bytes on the device.
    pub(crate) bytes: u64,
    /// Inodes, each once; absent where the file system may not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inodes: Option<u64>,
    /// `quota`: the file system counts the bytes, and this is of the last half minute; `search`: it was asked what is new
    /// or changed, and this is of the last minute; `walk`: the tree was walked.
    pub(crate) source: String,
}

/// What a driver tells of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MetadataView {
    /// In the driver's order.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) metadata: Pairs,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangeKind {
    /// It is there on both sides and differs.
    Modify,
    /// It is new.
    Add,
    /// It is gone.
    Delete,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangeView {
    /// The path from the layer's root, with a leading `/`; bytes that are no UTF-8 are shown as U+FFFD.
    pub(crate) path: String,
    /// What happened to it.
    pub(crate) kind: ChangeKind,
    /// The exact bytes of the path, where they are no UTF-8: base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path_base64: Option<String>,
}

/// The paths that differ, in byte order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangeList {
    /// The changes.
    pub(crate) changes: Vec<ChangeView>,
}

/// What applying an archive did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ApplyReport {
    /// Sum of the sizes that the headers give.
    pub(crate) size_bytes: u64,
    /// Entries read.
    pub(crate) entries: u64,
    /// Extended attributes that were left out.
    pub(crate) xattrs_skipped: u64,
    /// The first of them, in words.
    pub(crate) first_left_out: Vec<String>,
}

impl From<LayerKind> for mica_engine::LayerKind {
    fn from(kind: LayerKind) -> Self {
        match kind {
            LayerKind::Content => Self::Content,
            LayerKind::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<mica_engine::LayerKind> for LayerKind {
    fn from(kind: mica_engine::LayerKind) -> Self {
        match kind {
            mica_engine::LayerKind::Content => Self::Content,
            mica_engine::LayerKind::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<Access> for mica_engine::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::ReadOnly => Self::ReadOnly,
            Access::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<mica_engine::Access> for Access {
    fn from(access: mica_engine::Access) -> Self {
        match access {
            mica_engine::Access::ReadOnly => Self::ReadOnly,
            mica_engine::Access::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<mica_engine::ChangeKind> for ChangeKind {
    fn from(kind: mica_engine::ChangeKind) -> Self {
        match kind {
            mica_engine::ChangeKind::Modify => Self::Modify,
            mica_engine::ChangeKind::Add => Self::Add,
            mica_engine::ChangeKind::Delete => Self::Delete,
        }
    }
}

impl From<LayerRequest> for mica_engine::LayerRequest {
    fn from(request: LayerRequest) -> Self {
        Self {
            id: request.id,
            parent: request.parent,
            kind: request.kind.into(),
            mount_label: request.mount_label,
            storage_options: request.storage_options.0,
            live_parent: mica_engine::LiveParent::Refuse,
        }
    }
}

impl From<mica_engine::LayerView> for LayerView {
    fn from(view: mica_engine::LayerView) -> Self {
        Self {
            id: view.id,
            parent: view.parent,
            kind: view.kind.into(),
            created: view.created.to_string(),
            children: view.children,
            mounts: view.mounts,
            depth: view.depth,
            number: view.number,
            store: view.store,
            driver: view.driver,
        }
    }
}

impl From<MountRequest> for mica_engine::MountRequest {
    fn from(request: MountRequest) -> Self {
        Self {
            access: request.access.map(Into::into),
            mount_label: request.mount_label,
        }
    }
}

impl From<mica_engine::UsageView> for UsageView {
    fn from(view: mica_engine::UsageView) -> Self {
        let source = match view.source {
            mica_engine::UsageSource::Quota => "quota",
            mica_engine::UsageSource::Search => "search",
            mica_engine::UsageSource::Walk => "walk",
        };
        Self {
            bytes: view.bytes,
            inodes: view.inodes,
            source: source.to_owned(),
        }
    }
}

impl From<mica_engine::MountView> for MountView {
    fn from(view: mica_engine::MountView) -> Self {
        Self {
            path: view.path.display().to_string(),
            references: view.references,
            access: view.access.into(),
        }
    }
}

impl From<mica_engine::ApplyReport> for ApplyReport {
    fn from(report: mica_engine::ApplyReport) -> Self {
        Self {
            size_bytes: report.size_bytes,
            entries: report.entries,
            xattrs_skipped: report.xattrs_skipped,
            first_left_out: report.first_left_out,
        }
    }
}
