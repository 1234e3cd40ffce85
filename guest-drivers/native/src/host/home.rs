//! `mica:host/home`: the layers of the store whose operation runs on this thread.
//!
//! Invariant: nothing is decided here; the store knows what its operation may do.

use super::directory::Directory;
use super::no_glue;
pub use crate::generated::host_functions::mica::host::home::{Layer, LayerKind};
use crate::mica::host::types::Failure;
use crate::store::{Staging, running};

/// A layer that is being made.
#[derive(Debug)]
pub struct StagedLayer(Staging);

no_glue!(StagedLayer);

impl StagedLayer {
    /// Opens its room, read-write.
    pub fn room(&self) -> Result<Directory, Failure> {
        self.0.room()
    }
}

/// Says whether a layer is published.
pub fn exists(id: &str) -> Result<bool, Failure> {
    Ok(running()?.layer(id).is_ok())
}

/// Reads a layer's record.
pub fn inspect(id: &str) -> Result<Layer, Failure> {
    running()?.layer(id)
}

/// Names the layers below one, nearest first.
pub fn ancestors(id: &str) -> Result<Vec<String>, Failure> {
    running()?.ancestors(id)
}

/// Names up to 1024 layers in byte order of their ids.
pub fn list(after: Option<&str>) -> Result<Vec<String>, Failure> {
    Ok(running()?.list(after))
}

/// Opens the room of a published layer.
pub fn open(id: &str) -> Result<Directory, Failure> {
    running()?.open(id)
}

/// Begins a layer.
pub fn stage() -> Result<StagedLayer, Failure> {
    running()?.stage().map(StagedLayer)
}

/// Makes a staged layer visible.
pub fn publish(layer: StagedLayer, id: &str) -> Result<(), Failure> {
    running()?.publish(layer.0, id)
}

/// Removes a layer.
pub fn discard(id: &str) -> Result<(), Failure> {
    running()?.discard(id)
}
