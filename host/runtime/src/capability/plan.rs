//! Views that are described instead of made.
//!
//! Some callers mount for themselves: containerd is told where the directories are, as text, and mounts them later. A
//! driver need not know of that: it builds its view as ever, and what it built is written down with the places of its
//! handles.
//!
//! A path of several names below a room could be led elsewhere by a process that exchanges one of the names for a link
//! after the host has looked. So a place is one name in a room, which no process can write to, and nothing deeper has
//! one.
//!
//! Invariant: a [`Place`] is one name below the room of a layer, as the host itself opened it; no other can be written
//! down.

use super::HostError;
use super::directory::Directory;
use crate::{Access, Failure};
use mica_sys::{Name, node};
use std::sync::Arc;

/// What the views of an operation become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Mounts that go with the operation.
    #[default]
    Inside,
    /// Mounts, of which one is handed out.
    Mount,
    /// Descriptions.
    Plan,
}

/// Where a handle's directory lies, as far as that matters to views.
#[derive(Clone, Debug)]
pub(super) enum Position {
    /// It is the room of a layer: no view shows it, for it holds names that paths are made of.
    Room { layer: Arc<str> },
    /// It was reached by one name from the room of a layer.
    InRoom { layer: Arc<str>, name: Name },
    /// It is deeper, or in no room.
    Elsewhere,
}

impl Position {
    /// The position of what was opened here by a name.
    pub(super) fn child(&self, name: &Name) -> Self {
        match self {
            Self::Room { layer } => Self::InRoom {
                layer: Arc::clone(layer),
                name: name.clone(),
            },
            Self::InRoom { .. } | Self::Elsewhere => Self::Elsewhere,
        }
    }
}

/// Where a directory of a view is. The name may have changed since: the two numbers tell whether it is still the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layer in whose room it is.
    pub layer: String,
    /// The name in the room.
    pub name: Name,
    /// The number of its file system.
    pub device: u64,
    /// Its number in the file system.
    pub inode: u64,
}

/// What a view consists of. No text of a driver is in it but the names of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountPlan {
    /// One directory.
    Bind {
        /// The directory.
        directory: Place,
        /// What processes may do.
        access: Access,
    },
    /// An overlay.
    Overlay {
        /// The lower directories, nearest first.
        lowers: Vec<Place>,
        /// Where changes go, and the kernel's own directory; nothing can be changed without.
        upper_and_work: Option<(Place, Place)>,
    },
}

impl Place {
    /// Writes down where a handle's directory is.
    ///
    /// # Errors
    /// The end of the operation for a directory that has no place: the driver breaks a rule of the contract.
    pub(super) fn of(directory: &Directory) -> Result<Self, HostError> {
        let Position::InRoom { layer, name } = directory.position() else {
            return Err(broken(
                "a view that others mount consists of directories that lie one name below the room of a layer, and \
                 this one does not",
            ));
        };
        let found = node::stat_fd(directory.fd())
            .map_err(|error| Failure::from_io("stat a directory of the view", &error))?;
        Ok(Self {
            layer: layer.as_ref().to_owned(),
            name: name.clone(),
            device: found.device,
            inode: found.inode,
        })
    }

    pub(super) fn of_all(directories: &[Directory]) -> Result<Vec<Self>, HostError> {
        directories.iter().map(Self::of).collect()
    }
}

/// Ends the operation of a driver that breaks a rule of the contract.
pub(super) fn broken(rule: &'static str) -> HostError {
    HostError::Trap(wasmtime::Error::msg(rule))
}
