//! The state of the engine.
//!
//! Invariant: data only.

use crate::settings::Durability;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// The store, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What is wrong.
    pub detail: String,
}

/// What the engine has and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// The root directory.
    pub root: PathBuf,
    /// The run directory.
    pub run_dir: PathBuf,
    /// When a layer counts as published.
    pub durability: Durability,
    /// Drivers.
    pub drivers: u64,
    /// Stores.
    pub stores: u64,
    /// Layers of all stores.
    pub layers: u64,
    /// Mounted layers of all stores.
    pub mounts: u64,
    /// Driver operations that run now.
    pub running: u64,
    /// Driver operations that were begun.
    pub operations: u64,
    /// Driver operations that a driver broke in.
    pub faults: u64,
    /// What needs a person: quarantined layers, drivers and stores that could not be loaded.
    pub problems: Vec<Attention>,
}
