//! Drivers on the wire.
//!
//! Invariant: data only.

use super::{DriverView, QuarantineView};
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

/// All drivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DriverList {
    /// By name.
    pub(crate) drivers: Vec<DriverView>,
}
