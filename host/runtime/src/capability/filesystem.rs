//! `mica:host/filesystem`: facts about the file system of the home.
//!
//! Invariant: reads only.

use super::{HostResult, State};
use crate::bindings::mica::host::filesystem::{self as wit, Identity, Space};
use crate::{Failure, Feature, Support};
use mica_sys::filesystem::{self, Statfs};

impl State {
    fn statfs(&mut self) -> HostResult<Statfs> {
        self.ask()?;
        let home = self.operation.home.backing()?;
        Ok(filesystem::statfs(home)
            .map_err(|error| Failure::from_io("statfs of the home", &error))?)
    }
}

impl wit::Host for State {
    fn identify(&mut self) -> HostResult<Identity> {
        let magic = self.statfs()?.magic;
        let name = filesystem::name_of(magic).unwrap_or("<unknown>").to_owned();
        Ok(Identity { magic, name })
    }

    fn measure(&mut self) -> HostResult<Space> {
        let found = self.statfs()?;
        Ok(Space {
            total_bytes: found.total_bytes,
            free_bytes: found.free_bytes,
            total_inodes: found.total_inodes,
            free_inodes: found.free_inodes,
        })
    }

    fn supports(&mut self, feature: Feature) -> HostResult<Support> {
        self.ask()?;
        Ok(self.operation.home.probe(feature)?)
    }
}
