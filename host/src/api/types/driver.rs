//! Drivers on the wire.
//!
//! Invariant: data only.

use super::Pairs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriverView {
    /// Its name.
    pub(crate) name: String,
    /// Its own version.
    pub(crate) version: String,
    /// What it says of itself.
    pub(crate) summary: String,
    /// `sha256:` and the hexadecimal digest of the component.
    pub(crate) digest: String,
    /// Bytes of the component.
    pub(crate) size_bytes: u64,
    /// `embedded`, `directory` or `uploaded`.
    pub(crate) origin: String,
    /// `proto` or `full`: what its author exported.
    pub(crate) world: String,
    /// Whether it was composed with naive-diff.
    pub(crate) composed: bool,
    /// Interfaces that it imports.
    pub(crate) imports: Vec<String>,
    /// Interfaces that it may import.
    pub(crate) grants: Vec<String>,
    /// Options that it knows, each with a sentence.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) options: Pairs,
    /// Stores that it serves.
    pub(crate) stores: Vec<String>,
    /// How often a build was loaded into the slot, from 1 on.
    pub(crate) generation: u64,
    /// When the build was loaded: RFC 3339, UTC.
    pub(crate) loaded: String,
    /// Digest of the build that a swap without a component goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
    /// Operations that run now.
    pub(crate) running: u64,
    /// Operations that were begun.
    pub(crate) operations: u64,
    /// Operations that the driver broke in.
    pub(crate) faults: u64,
    /// Why it is not called any more, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quarantined: Option<String>,
}

/// All drivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriverList {
    /// By name.
    pub(crate) drivers: Vec<DriverView>,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SwapReport {
    /// The driver.
    pub(crate) driver: String,
    /// Digest of the build that ran before.
    pub(crate) old_digest: String,
    /// Digest of the build that runs now.
    pub(crate) new_digest: String,
    /// Milliseconds that loading took.
    pub(crate) compile_ms: u64,
    /// Milliseconds that the probe in a scratch store took.
    pub(crate) probe_ms: u64,
    /// Whether the operations of the old build ended by themselves before the deadline.
    pub(crate) drained: bool,
    /// Operations that ran on the old build when the new one took over.
    pub(crate) running_on_old: u64,
}

impl From<mica_engine::DriverView> for DriverView {
    fn from(view: mica_engine::DriverView) -> Self {
        Self {
            name: view.name,
            version: view.version,
            summary: view.summary,
            digest: view.digest,
            size_bytes: view.size_bytes,
            origin: view.origin,
            world: view.world,
            composed: view.composed,
            imports: view.imports,
            grants: view.grants,
            options: Pairs(view.options),
            stores: view.stores,
            generation: view.generation,
            loaded: view.loaded.to_string(),
            previous: view.previous,
            running: view.running,
            operations: view.operations,
            faults: view.faults,
            quarantined: view.quarantined,
        }
    }
}

impl From<mica_engine::SwapReport> for SwapReport {
    fn from(report: mica_engine::SwapReport) -> Self {
        Self {
            driver: report.driver,
            old_digest: report.old_digest,
            new_digest: report.new_digest,
            compile_ms: report.compile_ms,
            probe_ms: report.probe_ms,
            drained: report.drained,
            running_on_old: report.running_on_old,
        }
    }
}
