//! What a driver said, as it is told.
//!
//! Invariant: data only; every text of a driver's is safe to show.

use crate::Moment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line that a driver said, or that the host said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number among the driver's lines since the start of the daemon, from 1 on, without gaps.
    pub sequence: u64,
    /// When: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub time: Moment,
    /// How: `stderr` or `stdout`; `debug`, `info`, `warn` or `error` by `mica:host/log`; `trap` for why and where the sandbox ended the
    /// operation; `host` for what was left out.
    pub source: String,
    /// What was said: one line, escaped, 4 KiB at most.
    pub text: String,
    /// The driver's function.
    pub operation: String,
    /// The store that it was about.
    pub store: String,
    /// The layer that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The number of the build that ran, as in the description of the driver.
    pub generation: u64,
    /// `sha256:` and the hexadecimal digest of the component that ran.
    pub digest: String,
    /// The id of the request that it worked for; absent for the daemon's own work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}
