//! Operations that were recorded, as they are told.
//!
//! Invariant: data only; every text of a driver's or a layer's is safe to show.

use crate::Moment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An operation of a driver that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// Its number among the driver's since the start of the daemon.
    pub number: u64,
    /// The id of the request that it worked for; `-` for the daemon's own work. A request may need several operations.
    pub request: String,
    /// When it ended: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub time: Moment,
    /// What the engine did.
    pub operation: String,
    /// The function of the contract that was called.
    pub function: String,
    /// The store.
    pub store: String,
    /// The layer, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The number of the build that ran.
    pub generation: u64,
    /// `sha256:` and the hexadecimal digest of the component that ran.
    pub digest: String,
    /// Host calls that the driver made.
    pub calls: u64,
    /// Bytes of memory that its record takes.
    pub bytes: u64,
    /// Why it cannot be replayed; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// The code of the problem, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the client was told, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A host call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostCall {
    /// Its number in the operation, from 1 on.
    pub number: u64,
    /// The function, as the contract calls it: `directory.open-file`; `directory.drop` is the end of a handle.
    pub function: String,
    /// Its arguments, cut at 1 KiB; handles are numbers such as `#3`.
    pub arguments: String,
    /// What the host answered, cut at 1 KiB.
    pub answer: String,
}

/// An operation with its host calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceDocument {
    /// The operation.
    #[serde(flatten)]
    pub operation: TraceView,
    /// What the driver was asked: the function and its arguments.
    pub question: serde_json::Value,
    /// What it answered, or why the sandbox ended it.
    pub answer: String,
    /// The host calls that are kept, in order.
    pub host_calls: Vec<HostCall>,
}
