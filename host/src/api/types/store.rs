//! Stores on the wire.
//!
//! Invariant: data only.

use super::StoreView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StoreList {
    /// By name.
    pub(crate) stores: Vec<StoreView>,
}
