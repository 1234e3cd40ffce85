//! Layers that are being made.
//!
//! Invariant: what is not published is deleted when its handle goes.

use super::layout::{Area, random_name};
use super::{Home, Layout, Reaper};
use mica_runtime::{Failure, Staged};
use mica_sys::tree::SharedFiles;
use mica_sys::{Name, node, tree};
use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A layer that is being made: a directory in staging with a room.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    layout: Arc<Layout>,
    reaper: Arc<Reaper>,
    pub(super) name: Name,
    pub(super) directory: OwnedFd,
    pub(super) is_published: bool,
    /// What its room shares with that of a published layer.
    shared: Option<Arc<SharedFiles>>,
}

impl Home {
    /// Begins a layer with an empty room.
    pub(crate) fn stage(&self) -> io::Result<StagedLayer> {
        // Random, because a name that was used before may still lie in staging, waiting for the reaper.
        let name = random_name()?;
        let directory = node::create_directory(self.layout.area(Area::Staging), &name, 0o700)?;
        let staged = StagedLayer {
            layout: Arc::clone(&self.layout),
            reaper: Arc::clone(&self.reaper),
            name,
            directory,
            is_published: false,
            shared: None,
        };
        node::create_directory(staged.directory.as_fd(), &self.layout.room, 0o755)?;
        Ok(staged)
    }

    /// Begins a layer whose room is a copy of a published one that shares its files until they are changed.
    pub(crate) fn stage_copy(&self, number: u64) -> io::Result<StagedLayer> {
        let mut staged = self.stage()?;
        let from = self.layout.open_room(number)?;
        // It is attached again when it is asked for.
        mica_runtime::detach_image(from.as_fd())?;
        let cloned = tree::clone_linked(from.as_fd(), staged.open_room()?.as_fd())?;
        staged.shared = cloned.shared.map(Arc::new);
        Ok(staged)
    }
}

impl StagedLayer {
    /// Opens its room.
    pub(crate) fn open_room(&self) -> io::Result<OwnedFd> {
        node::open_directory(self.directory.as_fd(), &self.layout.room)
    }

    /// What is beside its room.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// What its room shares with that of a published layer.
    pub(crate) fn shared(&self) -> Option<Arc<SharedFiles>> {
        self.shared.clone()
    }
}

impl Staged for StagedLayer {
    fn room(&self) -> Result<OwnedFd, Failure> {
        self.open_room()
            .map_err(|error| Failure::from_io("open the staged layer's room", &error))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        if !self.is_published {
            self.layout.detach_image(Area::Staging, &self.name);
            self.reaper
                .delete(&self.layout, Area::Staging, self.name.clone());
        }
    }
}
