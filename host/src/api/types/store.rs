//! Stores on the wire.
//!
//! Invariant: data only.

use super::StoreView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StoreList {
    /// By name.
    pub(crate) stores: Vec<StoreView>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Asks for another name of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameRequest {
    /// The new name: 1 to 64 lower-case letters, digits, `-`, `_` and `.`.
    pub(crate) name: String,
}

/// Asks for another place of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoveBody {
    /// The directory that the store's own is to lie in: an absolute path where the daemon runs, which only root may change. Without one
    /// the store comes back below the daemon's root.
    #[serde(default)]
    pub(crate) to: Option<String>,
}
