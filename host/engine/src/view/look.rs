//! What is told of many layers of a store at once.
//!
//! Invariant: data only.

use super::UsageView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What one of several layers occupies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerUsage {
    /// The layer.
    pub id: String,
    /// What it occupies beyond its parent; absent if it could not be measured. What it shares with the layers below it is
    /// the sum of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageView>,
    /// Why it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<LayerProblem>,
}

/// Why something could not be told of one of several layers, or would not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerProblem {
    /// The stable word for programs, as in problem documents.
    pub code: String,
    /// What was being done, to what, and why it did not work.
    pub detail: String,
}

/// A process that uses files of a mounted layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerProcess {
    /// The layer.
    pub layer: String,
    /// The number of the process, where the daemon runs.
    pub pid: u32,
    /// Its name, as the kernel has it.
    pub name: String,
}
