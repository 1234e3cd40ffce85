//! What keeps layers, and what became of those that nothing keeps.
//!
//! Invariant: data only.

use super::{HolderView, LayerProblem};
use crate::Moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What can keep a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HoldKind {
    /// Whom the store is for: it alone decides about its layers.
    Client,
    /// A snapshot of a container runtime.
    Snapshot,
    /// A mount.
    Mount,
    /// Layers that are built on it.
    Layers,
}

/// One thing that keeps a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// What it is.
    pub by: HoldKind,
    /// The client; the key of the snapshot; the path of the mount; one of the layers, by its id.
    pub object: String,
    /// References to the mount, or how many layers; 1 for all else.
    pub count: u64,
    /// What a snapshot is: `view`, `active` or `committed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The snapshot below that snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The labels of a snapshot, by which a container runtime tells what it needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who holds references to the mount that have names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<HolderView>,
}

impl HoldView {
    /// One without anything that only some have.
    pub(crate) fn new(by: HoldKind, object: impl Into<String>, count: u64) -> Self {
        Self {
            by,
            object: object.into(),
            count,
            kind: None,
            parent: None,
            labels: BTreeMap::new(),
            holders: Vec::new(),
        }
    }
}

/// A layer, and what keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerHolds {
    /// The id.
    pub id: String,
    /// The layer below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was made: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub created: Moment,
    /// What keeps it.
    pub held_by: Vec<HoldView>,
    /// Whether nothing keeps it but layers that nothing keeps.
    pub is_free: bool,
    /// Bytes that it occupies beyond its parent, if that was asked for and nothing keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why they could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<LayerProblem>,
}

/// Asks what keeps layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldsRequest {
    /// What the ids begin with.
    pub prefix: String,
    /// The page begins behind this id.
    pub after: Option<String>,
    /// Layers of a page.
    pub limit: usize,
    /// Only layers that nothing keeps, or only those that something keeps.
    pub is_free: Option<bool>,
    /// Whether it is measured what layers occupy that nothing keeps.
    pub is_measured: bool,
}

/// Asks for the removal of layers that nothing keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectRequest {
    /// Layers that are younger are kept, and so are those below them: seconds.
    pub older_than_seconds: u64,
    /// Only tells what would be removed.
    pub is_dry_run: bool,
}

/// A layer that was removed, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectedLayer {
    /// The id.
    pub id: String,
    /// Bytes that it occupied beyond its parent; absent if they could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A layer that nothing kept, and that was not removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptLayer {
    /// The id.
    pub id: String,
    /// Why.
    pub problem: LayerProblem,
}

/// What became of the layers that nothing kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectReport {
    /// Those that were removed, or would be: each before the one that it was built on.
    pub removed: Vec<CollectedLayer>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Those that could not be removed.
    pub kept: Vec<KeptLayer>,
    /// Whether nothing was removed, because it was only asked what would be.
    pub is_dry_run: bool,
    /// Whether it was ended before all were tried.
    pub is_cut_short: bool,
}
