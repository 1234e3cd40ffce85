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
    /// Why nobody may call it any more, if it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quarantined: Option<String>,
    /// What is kept from calling it: layers, stores, and everyone last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) quarantines: Vec<QuarantineView>,
}

/// Something that is kept from calling a driver, because the driver broke there too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct QuarantineView {
    /// The store; absent for everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    /// The layer; absent for the whole store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layer: Option<String>,
    /// Since when: RFC 3339, UTC.
    pub(crate) since: String,
    /// How often the driver broke, and how the last time.
    pub(crate) reason: String,
}

/// What a release ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReleaseReport {
    /// The driver.
    pub(crate) driver: String,
    /// The quarantines that were ended; empty if there were none.
    pub(crate) released: Vec<QuarantineView>,
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
            quarantines: view.quarantines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<mica_engine::QuarantineView> for QuarantineView {
    fn from(view: mica_engine::QuarantineView) -> Self {
        Self {
            store: view.store,
            layer: view.layer,
            since: view.since.to_string(),
            reason: view.reason,
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
