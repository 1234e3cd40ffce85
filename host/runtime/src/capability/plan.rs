//! Views that are described instead of made.
//!
//! Some callers mount for themselves: containerd is told where the directories are. A driver need not know of that:
//! it builds its view as ever, and what it built is written down with the places of its handles.
//!
//! Invariant: a place was reached by the host's own steps, name by name from the room of a layer; a driver names no
//! path.

use super::directory::Directory;
use crate::{Access, Code, Failure};
use mica_sys::{Name, node};

/// What the views of an operation become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Mounts that nobody else sees.
    #[default]
    Mount,
    /// Descriptions.
    Plan,
}

/// How a directory was reached: the layer whose room it began in, and the names from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) layer: String,
    pub(super) names: Vec<Name>,
}

/// Where a directory of a view is. Names may have changed since: the two numbers tell whether it is still the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layer in whose room it is.
    pub layer: String,
    /// The names from the room on.
    pub names: Vec<Name>,
    /// The number of its file system.
    pub device: u64,
    /// Its number in the file system.
    pub inode: u64,
}

/// What a view consists of.
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
        /// An SELinux context for all files.
        label: Option<String>,
    },
}

impl Place {
    /// Writes down where a handle's directory is.
    pub(super) fn of(directory: &Directory) -> Result<Self, Failure> {
        let nowhere = || {
            Failure::new(
                Code::Invalid,
                "a directory of the view is in no layer's room, so its place cannot be told",
            )
        };
        let Origin { layer, names } = directory.origin().ok_or_else(nowhere)?.clone();
        let found = node::stat_fd(directory.fd())
            .map_err(|error| Failure::from_io("stat a directory of the view", &error))?;
        Ok(Self {
            layer,
            names,
            device: found.device,
            inode: found.inode,
        })
    }

    pub(super) fn of_all(directories: &[Directory]) -> Result<Vec<Self>, Failure> {
        directories.iter().map(Self::of).collect()
    }
}
