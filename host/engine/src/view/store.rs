//! Stores, as they are asked for and told of.
//!
//! Invariant: data only.

use super::{LayerProblem, Pairs, shown};
use crate::Moment;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

/// Asks for a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// The new name: 1 to 64 lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The driver; without one the daemon chooses, and `chosen` of the answer says why.
    #[serde(default)]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub options: Pairs,
    /// Whom the store is for, in the words of the front end that makes it. The engine keeps it and never reads it.
    #[serde(skip)]
    pub client: Option<String>,
}

/// The file system below a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackingView {
    /// The magic number that statfs tells.
    pub magic: u32,
    /// Its name, or `<unknown>`.
    pub filesystem: String,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreView {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Why it is this driver, if the store was made without naming one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The driver's options, in order.
    #[schema(value_type = BTreeMap<String, String>)]
    pub options: Pairs,
    /// Whom it is for, if a front end made it for someone: `docker /var/lib/docker/mica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When it was made: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub created: Moment,
    /// Its home.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// The file system of its home.
    pub backing: BackingView,
    /// Whether its layers are the snapshots of a container runtime, which alone changes them.
    #[serde(default)]
    pub holds_snapshots: bool,
    /// Layers that it has.
    pub layers: u64,
    /// Layers of it that are mounted.
    pub mounts: u64,
    /// What the driver says of its state, in order; only when one store is asked for.
    #[schema(value_type = BTreeMap<String, String>)]
    pub status: Pairs,
    /// Why the store cannot be used, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// Asks for another place of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveRequest {
    /// The directory that its own is to lie in, as an absolute path; without one it comes back below the daemon's root.
    pub to: Option<PathBuf>,
    /// Whether it is only told what would be moved, and what is in the way.
    pub is_dry_run: bool,
}

/// What became of a store that was to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveReport {
    /// The store.
    pub store: String,
    /// The directory that it was in.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    pub from: PathBuf,
    /// The directory that it is in, or of a dry run that its own would lie in.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    pub to: PathBuf,
    /// Layers that it has.
    pub layers: u64,
    /// Files and directories of all of them, each once, and those of the store itself.
    pub files: u64,
    /// Bytes that they occupy.
    pub bytes: u64,
    /// Bytes that they occupy anew: none on the same file system, where files are linked.
    pub needed_bytes: u64,
    /// Bytes that were free there.
    pub free_bytes: u64,
    /// Of a dry run: what is in the way, the first that counts first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<LayerProblem>,
    /// Whether nothing was moved, because it was only asked what would be.
    pub is_dry_run: bool,
}
