//! Drivers on the wire.
//!
//! Invariant: data only.

use super::{DriverView, QuarantineView, TraceView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a release ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReleaseReport {
    /// The driver.
    pub(crate) driver: String,
    /// The quarantines that were ended; empty if there were none.
    pub(crate) released: Vec<QuarantineView>,
}

/// Operations of a driver that are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TraceList {
    /// The last first.
    pub(crate) traces: Vec<TraceView>,
}

/// A page of drivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriverList {
    /// By name.
    pub(crate) drivers: Vec<DriverView>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}
