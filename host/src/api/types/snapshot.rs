//! Snapshots, as answers.
//!
//! Invariant: data only.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SnapshotKind {
    /// Nothing can be changed in it.
    View,
    /// It can be changed.
    Active,
    /// It never changes again, and others can be built on it.
    Committed,
}

/// A snapshot of a container runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SnapshotView {
    /// The key of an active one or a view, the name of a committed one.
    pub(crate) key: String,
    /// What it is.
    pub(crate) kind: SnapshotKind,
    /// The committed snapshot below.
    pub(crate) parent: Option<String>,
    /// The layer that is its own; a view of another snapshot has none.
    pub(crate) layer: Option<String>,
    /// When it was made, or committed: RFC 3339.
    pub(crate) created: String,
    /// When its labels changed last: RFC 3339.
    pub(crate) updated: String,
    /// What it takes on the device, measured when it was committed.
    pub(crate) usage: Option<SnapshotUsage>,
    /// The labels.
    pub(crate) labels: BTreeMap<String, String>,
}

/// A page of snapshots, in byte order of the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SnapshotList {
    /// The snapshots.
    pub(crate) snapshots: Vec<SnapshotView>,
    /// Where the next page begins: pass it as `after`.
    pub(crate) next: Option<String>,
}

/// What a snapshot takes on its device, without what lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SnapshotUsage {
    /// Bytes on the device.
    pub(crate) bytes: u64,
    /// Inodes, each once; absent where the file system may not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inodes: Option<u64>,
}

impl From<mica_engine::SnapshotKind> for SnapshotKind {
    fn from(kind: mica_engine::SnapshotKind) -> Self {
        match kind {
            mica_engine::SnapshotKind::View => Self::View,
            mica_engine::SnapshotKind::Active => Self::Active,
            mica_engine::SnapshotKind::Committed => Self::Committed,
        }
    }
}

impl From<mica_engine::SnapshotUsage> for SnapshotUsage {
    fn from(usage: mica_engine::SnapshotUsage) -> Self {
        Self {
            bytes: usage.bytes,
            inodes: usage.inodes,
        }
    }
}

impl From<&mica_engine::Snapshot> for SnapshotView {
    fn from(snapshot: &mica_engine::Snapshot) -> Self {
        Self {
            key: snapshot.key.clone(),
            kind: snapshot.kind.into(),
            parent: snapshot.parent.clone(),
            layer: snapshot.layer.clone().map(String::from),
            created: snapshot.created.to_string(),
            updated: snapshot.updated.to_string(),
            usage: snapshot.usage.map(SnapshotUsage::from),
            labels: snapshot.labels.clone(),
        }
    }
}
