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
