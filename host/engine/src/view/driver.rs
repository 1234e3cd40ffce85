//! Drivers, as they are told of.
//!
//! Invariant: data only.

use super::{BakeView, Evidence, Pairs, Provenance, ReplacedView};
use crate::Moment;
use crate::error::kept;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Where the build came from and who signed it; absent for what ships with the program, and for what was loaded before that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// `proto` or `full`: what its author exported.
    pub world: String,
    /// Whether it was composed with naive-diff.
    pub composed: bool,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it may import.
    pub grants: Vec<String>,
    /// Options that it knows, each with a sentence.
    #[schema(value_type = BTreeMap<String, String>)]
    pub options: Pairs,
    /// Stores that it serves.
    pub stores: Vec<String>,
    /// Number of the load that put the build into the slot, from 1 on since the start of the daemon.
    pub generation: u64,
    /// When the build was loaded: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub loaded: Moment,
    /// Digest of the build that a rollback goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// How the build stands in its bake, while it bakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<BakeView>,
    /// Why the last swap went back by itself; until the next swap, rollback or release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went_back: Option<Evidence>,
    /// Builds that were replaced and that operations still run on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<ReplacedView>,
    /// Operations that run on the build now.
    pub running: u64,
    /// Operations that were begun.
    pub operations: u64,
    /// Operations that the driver broke in.
    pub faults: u64,
    /// Why nobody may call it any more, if it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// What is kept from calling it: layers, stores, and everyone last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantines: Vec<QuarantineView>,
}

/// Something that is kept from calling a driver, because the driver broke there too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineView {
    /// The store; absent for everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The layer; absent for the whole store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Since when: RFC 3339, UTC.
    #[schema(value_type = String)]
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
