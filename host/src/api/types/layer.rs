//! Pages of layers, and their differences, on the wire.
//!
//! Invariant: data only.

use super::{LayerView, MountView, Pairs};
use mica_engine::{LayerHolds, LayerProcess, LayerUsage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of layers in byte order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LayerList {
    /// The page.
    pub(crate) layers: Vec<LayerView>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Asks for many layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerLookup {
    /// The ids, 10000 at most.
    #[schema(max_items = 10000)]
    pub(crate) ids: Vec<String>,
}

/// What there is of the layers that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LookedUp {
    /// Those that are there.
    pub(crate) layers: Vec<LayerView>,
    /// The ids of the others.
    pub(crate) unknown: Vec<String>,
}

/// A layer that is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MountedLayer {
    /// The layer.
    pub(crate) layer: String,
    /// Where it is mounted, and who holds it.
    #[serde(flatten)]
    pub(crate) mount: MountView,
}

/// A page of mounts in byte order of the layers' ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MountList {
    /// The page.
    pub(crate) mounts: Vec<MountedLayer>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// What layers occupy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UsageList {
    /// In the order in which they were asked for.
    pub(crate) layers: Vec<LayerUsage>,
}

/// A page of layers with what keeps them, in byte order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct HoldList {
    /// The page.
    pub(crate) layers: Vec<LayerHolds>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Processes that use files of mounted layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProcessList {
    /// In byte order of the layers' ids.
    pub(crate) processes: Vec<LayerProcess>,
}

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SizeView {
    /// Bytes that were added or modified, each inode once.
    pub(crate) size_bytes: u64,
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

impl From<mica_engine::ChangeKind> for ChangeKind {
    fn from(kind: mica_engine::ChangeKind) -> Self {
        match kind {
            mica_engine::ChangeKind::Modify => Self::Modify,
            mica_engine::ChangeKind::Add => Self::Add,
            mica_engine::ChangeKind::Delete => Self::Delete,
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
