//! What a bench tells.
//!
//! Invariant: data only.

use crate::report::{DriverFacts, PlaceFacts};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is wanted of a bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchRequest {
    /// Grants beside the standard ones, by name.
    pub grants: Vec<String>,
    /// Options of the store.
    pub options: Vec<(String, String)>,
    /// How often each operation is measured; one round more is not counted.
    pub rounds: u32,
    /// Whether less is done in each round.
    pub is_quick: bool,
    /// Where the stores lie; in memory without it.
    pub directory: Option<PathBuf>,
}

/// What came of a bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchReport {
    /// The driver that was measured.
    pub driver: DriverFacts,
    /// Where.
    pub place: PlaceFacts,
    /// How often each operation was measured.
    pub rounds: u32,
    /// Layers below the one of `create-over-parents`.
    pub parents: u32,
    /// What was applied.
    pub archive: ArchiveFacts,
    /// Drivers that ship and cannot work in this place.
    pub left_out: Vec<LeftOutSide>,
    /// The operations in the order in which a round does them.
    pub operations: Vec<OperationReport>,
}

/// An archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArchiveFacts {
    /// Its size.
    pub bytes: u64,
    /// Whether it was made for the bench, and not given.
    pub is_generated: bool,
}

/// A driver that ships and is not in the tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftOutSide {
    /// Its name.
    pub driver: String,
    /// Why.
    pub reason: String,
}

/// An operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperationReport {
    /// Its name.
    pub operation: String,
    /// What is done.
    pub about: String,
    /// The driver first, and those that ship behind it.
    pub sides: Vec<SideReport>,
}

/// What an operation took of a driver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SideReport {
    /// The driver.
    pub driver: String,
    /// Whether it is the build that ships with the program.
    pub is_shipped: bool,
    /// Time by the clock, in microseconds.
    pub microseconds: Spread,
    /// Processor time of the engine and the driver, in microseconds: the median.
    pub processor_microseconds: u64,
    /// How many times as long the measured driver takes, in hundredths; absent for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Host calls: the median.
    pub host_calls: u64,
    /// The most memory of the driver's that it had, in bytes.
    pub memory_bytes: u64,
}

/// Numbers of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The one in the middle.
    pub median: u64,
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
}
