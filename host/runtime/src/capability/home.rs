//! `mica:host/home`: the layers of the store, as the engine lets this operation see them.
//!
//! Invariant: an interface; what a layer is, and who may do what, the engine decides.

use super::directory::Directory;
use super::plan::Outcome;
use super::sharing::Sharing;
use super::{HostResult, State};
use crate::bindings::mica::host::home::{self as wit, Layer};
use crate::{Access, Code, Failure, Feature, LayerKind, Support};
use mica_sys::tree::SharedFiles;
use std::any::Any;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use wasmtime::component::Resource;

/// What the engine has on record of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// The id.
    pub id: String,
    /// The layer below.
    pub parent: Option<String>,
    /// What it was created for.
    pub kind: LayerKind,
}

/// The open room of a layer.
#[derive(Debug)]
pub struct Room {
    /// The directory.
    pub fd: OwnedFd,
    /// What this operation may do in it.
    pub access: Access,
    /// What of it belongs to something else too, and must become its own before it is changed.
    pub shared: Option<Arc<SharedFiles>>,
}

/// A store as one operation may see it. Called on the operation's own thread; no call waits for another operation.
pub trait Home: Send + Sync {
    /// Says whether a layer is published.
    fn exists(&self, id: &str) -> Result<bool, Failure>;
    /// Reads a layer's record.
    fn inspect(&self, id: &str) -> Result<LayerInfo, Failure>;
    /// Names the layers below, nearest first.
    fn ancestors(&self, id: &str) -> Result<Vec<String>, Failure>;
    /// Names up to 1024 layers in byte order, those after `after`.
    fn list(&self, after: Option<&str>) -> Result<Vec<String>, Failure>;
    /// Opens the room of a layer.
    fn open(&self, id: &str) -> Result<Room, Failure>;
    /// Begins a layer.
    fn stage(&self) -> Result<Box<dyn Staged>, Failure>;
    /// Publishes what [`Home::stage`] gave.
    fn publish(&self, staged: Box<dyn Staged>, id: &str) -> Result<(), Failure>;
    /// Removes a layer.
    fn discard(&self, id: &str) -> Result<(), Failure>;
    /// The home directory, for what statfs tells of it.
    fn backing(&self) -> Result<BorrowedFd<'_>, Failure>;
    /// Tells whether the home's file system and the kernel have a feature; remembered.
    fn probe(&self, feature: Feature) -> Result<Support, Failure>;
}

/// A layer that is being made. Dropping it throws it away.
pub trait Staged: Send {
    /// Opens its room.
    fn room(&self) -> Result<OwnedFd, Failure>;
    /// Gives the engine its own type back.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// The handle of a staged layer.
pub struct StagedLayer(Box<dyn Staged>);

impl fmt::Debug for StagedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StagedLayer")
    }
}

/// A home without layers: for `describe`, which may ask for none.
pub(crate) struct NoHome;

impl NoHome {
    fn refuse<T>() -> Result<T, Failure> {
        Err(Failure::new(Code::Denied, "this operation has no store"))
    }
}

impl Home for NoHome {
    fn exists(&self, _: &str) -> Result<bool, Failure> {
        Self::refuse()
    }
    fn inspect(&self, _: &str) -> Result<LayerInfo, Failure> {
        Self::refuse()
    }
    fn ancestors(&self, _: &str) -> Result<Vec<String>, Failure> {
        Self::refuse()
    }
    fn list(&self, _: Option<&str>) -> Result<Vec<String>, Failure> {
        Self::refuse()
    }
    fn open(&self, _: &str) -> Result<Room, Failure> {
        Self::refuse()
    }
    fn stage(&self) -> Result<Box<dyn Staged>, Failure> {
        Self::refuse()
    }
    fn publish(&self, _: Box<dyn Staged>, _: &str) -> Result<(), Failure> {
        Self::refuse()
    }
    fn discard(&self, _: &str) -> Result<(), Failure> {
        Self::refuse()
    }
    fn backing(&self) -> Result<BorrowedFd<'_>, Failure> {
        Self::refuse()
    }
    fn probe(&self, _: Feature) -> Result<Support, Failure> {
        Self::refuse()
    }
}

impl wit::Host for State {
    fn exists(&mut self, id: String) -> HostResult<bool> {
        self.ask()?;
        Ok(self.operation.home.exists(&id)?)
    }

    fn inspect(&mut self, id: String) -> HostResult<Layer> {
        self.ask()?;
        let LayerInfo { id, parent, kind } = self.operation.home.inspect(&id)?;
        Ok(Layer { id, parent, kind })
    }

    fn ancestors(&mut self, id: String) -> HostResult<Vec<String>> {
        self.ask()?;
        Ok(self.operation.home.ancestors(&id)?)
    }

    fn list(&mut self, after: Option<String>) -> HostResult<Vec<String>> {
        self.ask()?;
        Ok(self.operation.home.list(after.as_deref())?)
    }

    fn open(&mut self, id: String) -> HostResult<Resource<Directory>> {
        self.ask()?;
        let room = self.operation.home.open(&id)?;
        // What a plan names must stay what it is after the driver has answered, so the room's own names are fixed while
        // views are planned, also against an operation that runs beside this one.
        let access = match self.outcome {
            Outcome::Inside | Outcome::Mount => room.access,
            Outcome::Plan => Access::ReadOnly,
        };
        let directory = Directory::room(room.fd, access, room.access, &id)
            .sharing(room.shared.map(Sharing::new));
        self.handles.push(directory)
    }

    fn stage(&mut self) -> HostResult<Resource<StagedLayer>> {
        self.ask()?;
        let staged = self.operation.home.stage()?;
        self.handles.push(StagedLayer(staged))
    }

    fn publish(&mut self, layer: Resource<StagedLayer>, id: String) -> HostResult<()> {
        self.ask()?;
        let StagedLayer(staged) = self.handles.delete(layer)?;
        Ok(self.operation.home.publish(staged, &id)?)
    }

    fn discard(&mut self, id: String) -> HostResult<()> {
        self.ask()?;
        Ok(self.operation.home.discard(&id)?)
    }
}

impl wit::HostStagedLayer for State {
    fn room(&mut self, this: Resource<StagedLayer>) -> HostResult<Resource<Directory>> {
        let fd = self.at(&this)?.0.room()?;
        self.handles.push(Directory::new(fd, Access::ReadWrite))
    }

    fn drop(&mut self, this: Resource<StagedLayer>) -> wasmtime::Result<()> {
        self.close(this)
    }
}
