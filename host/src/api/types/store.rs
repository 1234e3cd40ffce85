//! Stores on the wire.
//!
//! Invariant: data only.

use super::Pairs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreRequest {
    /// The new name: 1 to 64 lower-case letters, digits, `-`, `_` and `.`.
    pub(crate) name: String,
    /// The driver; without one the daemon chooses, and `chosen` of the answer says why.
    #[serde(default)]
    pub(crate) driver: Option<String>,
    /// The driver's options.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) options: Pairs,
}

/// The file system below a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BackingView {
    /// The magic number that statfs tells.
    pub(crate) magic: u32,
    /// Its name, or `<unknown>`.
    pub(crate) filesystem: String,
    /// Bytes in all.
    pub(crate) total_bytes: u64,
    /// Bytes that are free for root.
    pub(crate) free_bytes: u64,
    /// Inodes in all; 0 where they are not counted.
    pub(crate) total_inodes: u64,
    /// Inodes that are free.
    pub(crate) free_inodes: u64,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StoreView {
    /// Its name.
    pub(crate) name: String,
    /// Its driver.
    pub(crate) driver: String,
    /// Why it is this driver, if the store was made without naming one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chosen: Option<String>,
    /// The driver's options, in order.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) options: Pairs,
    /// Whom it is for, if a front end made it for someone: `docker /var/lib/docker/mica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    /// When it was made: RFC 3339, UTC.
    pub(crate) created: String,
    /// Its home.
    pub(crate) path: String,
    /// The file system of its home.
    pub(crate) backing: BackingView,
    /// Layers that it has.
    pub(crate) layers: u64,
    /// Layers of it that are mounted.
    pub(crate) mounts: u64,
    /// What the driver says of its state, in order; only when one store is asked for.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) status: Pairs,
    /// Why the store cannot be used, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unavailable: Option<String>,
}

/// All stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StoreList {
    /// By name.
    pub(crate) stores: Vec<StoreView>,
}

impl From<mica_engine::StoreView> for StoreView {
    fn from(view: mica_engine::StoreView) -> Self {
        let mica_engine::Backing {
            magic,
            name: filesystem,
            total_bytes,
            free_bytes,
            total_inodes,
            free_inodes,
        } = view.backing;
        Self {
            name: view.name,
            driver: view.driver,
            chosen: view.chosen,
            options: Pairs(view.options),
            client: view.client,
            created: view.created.to_string(),
            path: view.path.display().to_string(),
            backing: BackingView {
                magic,
                filesystem,
                total_bytes,
                free_bytes,
                total_inodes,
                free_inodes,
            },
            layers: view.layers,
            mounts: view.mounts,
            status: Pairs(view.status),
            unavailable: view.unavailable,
        }
    }
}

impl From<StoreRequest> for mica_engine::StoreRequest {
    fn from(request: StoreRequest) -> Self {
        Self {
            name: request.name,
            driver: request.driver,
            options: request.options.0,
            client: None,
        }
    }
}
