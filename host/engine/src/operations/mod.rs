//! What can be done with layers.
//!
//! | operation | layer | others |
//! |---|---|---|
//! | create | exclusive | parent shared |
//! | remove, apply | its mount and the layer exclusive | |
//! | mount, first | its mount exclusive, then the layer: read-write exclusive, read-only shared | |
//! | mount, further; unmount; release | its mount exclusive | |
//! | diff, changes, size, usage, metadata | shared | the other layer shared |
//!
//! A parent needs no lock while it has a child that is locked: it cannot be removed or changed.
//!
//! Invariant: an operation checks everything that it can before it calls the driver, and changes what is known only
//! after the disk has it.

mod apply;
pub(crate) mod create;
mod diff;
mod left_out;
mod list;
mod mount;
mod release;
mod remove;
mod snapshots;
mod unmount;
mod usage;

use crate::engine::Engine;
use crate::store::Store;
use crate::{Error, LayerId, Result};
use std::sync::Arc;

impl Engine {
    /// Finds a store that can be used.
    pub(crate) fn usable_store(&self, name: &str) -> Result<Arc<Store>> {
        self.check_open()?;
        let store = self.find_store(name)?;
        self.make_ready(&store)?;
        Ok(store)
    }
}

impl Store {
    /// Refuses a layer that is mounted.
    fn check_unmounted(&self, id: &LayerId) -> Result<()> {
        match self.mounts.get(id) {
            Some(state) => Err(Error::Mounted {
                layer: id.as_str().to_owned(),
                path: self.place.point(state.number),
                references: state.references,
            }),
            None => Ok(()),
        }
    }
}

impl crate::layers::Facts {
    /// Refuses a layer that others are built on.
    fn check_childless(&self) -> Result<()> {
        match &self.child {
            Some(child) => Err(Error::HasChildren {
                layer: self.record.id.as_str().to_owned(),
                child: child.as_str().to_owned(),
                children: self.children,
            }),
            None => Ok(()),
        }
    }
}
