//! Errors as RFC 9457 writes them.
//!
//! Invariant: `code` and `class` are stable and kebab-case; programs decide by them and by nothing else.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong. RFC 9457, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:mica:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:mica:problem:unknown-layer")]
    pub(crate) kind: String,
    /// A few words that depend on the code alone.
    pub(crate) title: String,
    /// The HTTP status code again.
    pub(crate) status: u16,
    /// The stable word for programs.
    #[schema(example = "unknown-layer")]
    pub(crate) code: String,
    /// What kind of refusal or failure it is: `invalid`, `unacceptable`, `not-found`, `already-exists`, `precondition`,
    /// `in-use`, `not-supported`, `exhausted`, `timed-out`, `cancelled`, `unavailable`, `damaged`, `denied`, `internal`.
    /// Programs that do not know a code go by it.
    #[schema(example = "not-found")]
    pub(crate) class: String,
    /// What was being done, to what, and why it did not work.
    pub(crate) detail: String,
    /// What would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
    /// What it is about: an id, a name or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    /// The id of the request, as in the header `x-request-id`: the log has what happened under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
}
