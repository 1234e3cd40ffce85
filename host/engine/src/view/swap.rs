//! Builds of a driver, and what swaps made of them, as they are told of.
//!
//! Invariant: data only.

use super::Provenance;
use crate::Moment;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What speaks against a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// How many calls it is about.
    pub calls: u64,
    /// What they have in common, in words.
    pub what: String,
    /// The driver's function in the first of them.
    pub operation: String,
    /// The store of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The layer of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// What was answered to the first of them, and what the other build answered.
    pub first: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, first, .. } = self;
        write!(f, "{what}; the first: {first}")
    }
}

/// An operation that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningView {
    /// The driver's function.
    pub operation: String,
    /// The store.
    pub store: String,
    /// The layer, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// When it began: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub began: Moment,
    /// The id of the request that it is for, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// A build that was replaced and that operations still run on: those that it began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplacedView {
    /// Its digest.
    pub digest: String,
    /// How many operations run on it.
    pub running: u64,
    /// The oldest of them, at most 100.
    pub operations: Vec<RunningView>,
}

/// A build that bakes: it was swapped in a moment ago, and the one before takes over when it is worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BakeView {
    /// Digest of the build that takes over if this one is worse.
    pub before: String,
    /// Since when: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub since: Moment,
    /// Operations that were begun on the new build.
    pub calls: u64,
    /// Operations that it failed and the build before did not, or would not have.
    pub failed: u64,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwapReport {
    /// The driver.
    pub driver: String,
    /// Digest of the build that ran before.
    pub old_digest: String,
    /// Digest of the build that runs now.
    pub new_digest: String,
    /// Number of the build that runs now in the driver's history.
    pub build: u64,
    /// Milliseconds that loading took.
    pub compile_ms: u64,
    /// Milliseconds that the probe in a scratch store took.
    pub probe_ms: u64,
    /// Layers of the stores that the new build was asked about.
    pub layers_asked: u64,
    /// Calls that were answered by the old build and asked of the new one as well.
    pub calls_compared: u64,
    /// Seconds for which the new build is watched; 0 if it is not.
    pub bake_seconds: u64,
    /// Operations that run on the old build when this is written; they end there, and take the time that they take.
    pub running_on_old: u64,
    /// The oldest of them, at most 100.
    pub running: Vec<RunningView>,
}

/// One build that a driver had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildView {
    /// Its number, from 1 on; never given twice.
    pub number: u64,
    /// `sha256:` and the hexadecimal digest of the component.
    pub digest: String,
    /// The driver's own version.
    pub version: String,
    /// `embedded`, `directory` or `uploaded`.
    pub origin: String,
    /// As of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// When it was taken into use first: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub since: Moment,
    /// `active`, `baking`, `went-back` or `replaced`.
    pub state: String,
    /// Whether a rollback can take it.
    pub kept: bool,
    /// Why the build before took over again, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The builds that a driver had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriverHistory {
    /// The driver.
    pub driver: String,
    /// Whether the next start takes the build that ships with the program or lies in the drivers directory then, whichever it
    /// is, rather than the one that is active.
    pub follows_shipped: bool,
    /// The builds, the last first.
    pub builds: Vec<BuildView>,
}
