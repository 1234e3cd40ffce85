//! What an operator wants to know of a driver before he relies on it.
//!
//! Invariant: data only.

use super::{BuildView, DriverView, ManifestView, SignatureView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All that is known of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriverExplanation {
    /// The driver, with its stores, faults and quarantines.
    pub driver: DriverView,
    /// Where the build is from: `embedded` or `uploaded`, or the file.
    pub source: String,
    /// Whether a start takes what ships with the program or lies in the drivers directory, whichever it is then.
    pub follows_shipped: bool,
    /// Whether a driver of this name ships with the program or lies in the drivers directory: it cannot be removed.
    pub ships: bool,
    /// Stores that keep it from being removed: those that have it, and those that could not be opened and whose driver cannot be told.
    pub needed_by: Vec<String>,
    /// The interface that makes it a driver, with the version of the contract that it was built for.
    pub contract: String,
    /// The builds that it had, the last first.
    pub builds: Vec<BuildView>,
    /// What it imports, with the grant that each needs.
    pub imports: Vec<ImportView>,
    /// Grants that it has and does not use.
    pub unused_grants: Vec<String>,
    /// The limits that bound it.
    pub limits: Vec<LimitView>,
    /// What its author says of it, if its component has a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestView>,
    /// What is known of its signature.
    #[serde(default)]
    pub signature: SignatureView,
    /// Who says what it may: `configuration`, `grants-file` or `usual`; `unknown` while the file of grants cannot be read.
    pub granted_by: String,
    /// Interfaces that were approved when a build of it was loaded or swapped.
    pub approved: Vec<String>,
    /// What it may do with its interfaces, as it is granted: `mounts=bind`.
    pub rights: Vec<String>,
    /// Whether what is not granted is allowed, and told.
    pub audited: bool,
    /// What it did since the start and was not granted.
    pub denials: Vec<DenialView>,
    /// What is kept in memory of what it says and does.
    pub kept: KeptView,
}

/// Something that a driver did and was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DenialView {
    /// What, as it is granted: `mounts=overlay`.
    pub what: String,
    /// Operations in which it did so.
    pub operations: u64,
    /// Whether it was allowed all the same, because the driver is audited.
    pub allowed: bool,
    /// What would grant it.
    pub remedy: String,
}

/// An interface that a driver imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// The full name.
    pub name: String,
    /// The grant that it needs; absent for types, and for WASI, which gives nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// What that grant gives, or why none is needed.
    pub about: String,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// Its name in the configuration, below `limits`.
    pub name: String,
    /// The number.
    pub value: u64,
    /// Whether it is what it is without a configuration and a manifest.
    pub is_default: bool,
    /// What the driver's manifest says is enough; the smaller of this and what is configured counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
}

/// What is kept of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptView {
    /// Lines that it said.
    pub lines: u64,
    /// Operations that succeeded, with their host calls.
    pub passed: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Bytes of memory for all of that.
    pub bytes: u64,
}
