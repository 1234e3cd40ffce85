//! Handles on layers.
//!
//! Invariant: lowers come nearest first.

use mica_sdk::host::directory::Directory;
use mica_sdk::host::home;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::stacked::{UPPER, WORK};
use mica_sdk::{Doing as _, Failure, Result};

/// A layer, opened.
pub(crate) struct Parts {
    room: Directory,
    /// What it has itself.
    pub(crate) upper: Directory,
    /// What lies below, nearest first.
    pub(crate) lowers: Vec<Directory>,
}

/// Opens a layer with all below.
pub(crate) fn parts(id: &str) -> Result<Parts> {
    let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
    let upper = room
        .open_directory(UPPER)
        .doing(|| format!("open the upper of layer `{id}`"))?;
    Ok(Parts {
        room,
        upper,
        lowers: lowers(id)?,
    })
}

/// Opens what a layer itself has.
pub(crate) fn upper(id: &str) -> Result<Directory> {
    let room = home::open(id).doing(|| format!("open layer `{id}`"))?;
    room.open_directory(UPPER)
        .doing(|| format!("open the upper of layer `{id}`"))
}

/// Opens what lies below a layer.
pub(crate) fn lowers(id: &str) -> Result<Vec<Directory>> {
    let ancestors = home::ancestors(id).doing(|| format!("look up layer `{id}`"))?;
    ancestors.iter().map(|ancestor| upper(ancestor)).collect()
}

impl Parts {
    /// Mounts the layer.
    pub(crate) fn mount(&self, access: Access, label: Option<&str>) -> Result<Mount, Failure> {
        let lowers: Vec<&Directory> = self.lowers.iter().collect();
        match access {
            _ if lowers.is_empty() => mounts::bind(&self.upper, access),
            Access::ReadWrite => {
                let work = self.room.open_directory(WORK)?;
                mounts::overlay(&lowers, &self.upper, &work, label)
            }
            Access::ReadOnly => {
                let all: Vec<&Directory> = std::iter::once(&self.upper).chain(lowers).collect();
                mounts::overlay_view(&all, label)
            }
        }
    }
}
