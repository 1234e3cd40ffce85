//! Calls of clients, as they are told of.
//!
//! Invariant: data only.

use crate::Moment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call of a client that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// Its place in the order in which calls began, since the start of the daemon.
    #[serde(default)]
    pub number: u64,
    /// The id of the request.
    pub request: String,
    /// By which door it came: `rest`, `docker` or `containerd`.
    pub front_end: String,
    /// Who asks: `root, process 1234`, `user 1000`, or an address.
    pub client: String,
    /// What it does: of REST the name of the operation in its description, of the others that of the protocol's method.
    pub operation: String,
    /// The store, as soon as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The layer or snapshot, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The driver of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The number of the driver's build that works for it, since the start of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// When it began: RFC 3339, UTC.
    #[schema(value_type = String)]
    pub began: Moment,
    /// Milliseconds since then.
    pub age_ms: u64,
    /// Bytes that came from the client or went to it until now.
    pub bytes: u64,
    /// Bytes that are to be read or written for it where no client sees them pass, as far as that is known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_bytes: Option<u64>,
    /// Those that were read or written so far; a few more than there were thought to be, where something was read twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_bytes: Option<u64>,
}
