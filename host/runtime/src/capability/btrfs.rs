//! `mica:host/btrfs`: subvolumes, snapshots and quotas.
//!
//! Invariant: a right to change is asked for before anything else, as in `directory`; only the home's own file system
//! is ever told to count.

use super::attributes::{check_mode, timestamp};
use super::directory::{Directory, component};
use super::meter::Stop;
use super::{HostError, HostResult, State};
use crate::bindings::mica::host::btrfs::{
    self as wit, Counting, Lineage, Subvolume, Touched, Usage,
};
use crate::{Access, Failure};
use mica_sys::btrfs::{self, Quota};
use mica_sys::{Name, node};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd as _;
use wasmtime::component::Resource;

/// The most that one answer tells of names: a quarter of what one may have. More names are for a walk.
const SINCE_BYTES: usize = 1 << 20;

/// What a list of names takes in an answer.
fn bytes(names: &BTreeMap<u64, BTreeSet<Vec<u8>>>) -> usize {
    const BYTES_PER_NAME: usize = 16;
    let of = |names: &BTreeSet<Vec<u8>>| {
        names
            .iter()
            .map(|name| name.len() + BYTES_PER_NAME)
            .sum::<usize>()
    };
    names.values().map(|names| of(names) + BYTES_PER_NAME).sum()
}

/// Builds the failure of an operation on one name.
fn on<'a>(doing: &'a str, name: &'a Name) -> impl Fn(io::Error) -> Failure + 'a {
    move |error| Failure::from_io(format!("{doing} `{name}`"), &error)
}

/// Builds the failure of an operation.
fn failed(doing: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::from_io(doing, &error)
}

impl wit::Host for State {
    fn create_subvolume(
        &mut self,
        parent: Resource<Directory>,
        name: Vec<u8>,
        mode: u32,
    ) -> HostResult<Resource<Directory>> {
        let parent = self.at(&parent)?.writable()?;
        let name = component(&name)?;
        check_mode(mode)?;
        let made =
            btrfs::create(parent.fd(), &name, mode).map_err(on("create subvolume", &name))?;
        btrfs::mark(parent.fd(), &name, made.as_fd(), None).map_err(on("note subvolume", &name))?;
        self.handles.push(Directory::new(made, Access::ReadWrite))
    }

    fn snapshot(
        &mut self,
        original: Resource<Directory>,
        target: Resource<Directory>,
        name: Vec<u8>,
        access: Access,
    ) -> HostResult<Resource<Directory>> {
        let original = self.at(&original)?.clone();
        let target = self.handles.get(&target)?.writable()?;
        let name = component(&name)?;
        let made = btrfs::snapshot_tree(original.fd(), target.fd(), &name)
            .map_err(on("create snapshot", &name))?;
        btrfs::mark(target.fd(), &name, made.as_fd(), Some(original.fd()))
            .map_err(on("note snapshot", &name))?;
        let quota = btrfs::quota(made.as_fd()).map_err(failed("ask for quotas"))?;
        if quota != Quota::Off {
            // The kernel lets a snapshot inherit the bound.
            btrfs::set_limit_within(made.as_fd(), None).map_err(on("free snapshot", &name))?;
        }
        if access == Access::ReadOnly {
            btrfs::set_read_only(made.as_fd(), true).map_err(on("close snapshot", &name))?;
        }
        self.handles.push(Directory::new(made, access))
    }

    fn remove_subvolume(&mut self, parent: Resource<Directory>, name: Vec<u8>) -> HostResult<()> {
        let parent = self.at(&parent)?.writable()?;
        let name = component(&name)?;
        let opened = node::open_directory(parent.fd(), &name).map_err(on("open", &name))?;
        btrfs::id_of(opened.as_fd()).map_err(on("look at", &name))?;
        drop(opened);
        mica_sys::tree::remove(parent.fd(), &name).map_err(on("remove subvolume", &name))?;
        Ok(btrfs::unmark(parent.fd(), &name).map_err(on("forget subvolume", &name))?)
    }

    fn inspect(&mut self, subvolume: Resource<Directory>) -> HostResult<Subvolume> {
        let subvolume = self.at(&subvolume)?;
        let id = btrfs::id_of(subvolume.fd()).map_err(failed("look at the subvolume"))?;
        let is_read_only =
            btrfs::is_read_only(subvolume.fd()).map_err(failed("look at the subvolume"))?;
        let access = if is_read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        Ok(Subvolume { id, access })
    }

    fn since(
        &mut self,
        room: Resource<Directory>,
        name: Vec<u8>,
        original: Resource<Directory>,
    ) -> HostResult<Option<Lineage>> {
        let room = self.at(&room)?.clone();
        let original = self.handles.get(&original)?;
        let name = component(&name)?;
        let opened = node::open_directory(room.fd(), &name).map_err(on("open", &name))?;
        let cancel = &self.operation.cancel;
        let go_on = || !cancel.is_cancelled();
        let found = btrfs::since(room.fd(), &name, opened.as_fd(), original.fd(), &go_on);
        if cancel.is_cancelled() {
            return Err(HostError::Trap(Stop::Cancelled.into()));
        }
        let found = found.map_err(on("search what was touched in", &name))?;
        Ok(found.map(|found| {
            let names = found.names.filter(|names| bytes(names) <= SINCE_BYTES);
            let listed = names.map(|names| {
                let listed = names.into_iter().map(|(directory, names)| Touched {
                    directory,
                    names: names.into_iter().collect(),
                });
                listed.collect()
            });
            Lineage {
                made: timestamp(found.made),
                touched: listed,
            }
        }))
    }

    fn set_access(&mut self, subvolume: Resource<Directory>, access: Access) -> HostResult<()> {
        let subvolume = self.at(&subvolume)?.writable()?;
        let done = btrfs::set_read_only(subvolume.fd(), access == Access::ReadOnly);
        Ok(done.map_err(failed("set the subvolume's access"))?)
    }

    fn counts(&mut self) -> HostResult<Counting> {
        self.enter()?;
        let home = self.operation.home.backing()?;
        let found = btrfs::quota(home).map_err(failed("ask for quotas"))?;
        Ok(match found {
            Quota::Off => Counting::Off,
            Quota::Counting => Counting::Begun,
            Quota::On => Counting::On,
            Quota::Simple => Counting::Simple,
        })
    }

    fn start_counting(&mut self) -> HostResult<()> {
        self.enter()?;
        let home = self.operation.home.backing()?;
        Ok(btrfs::enable_quota(home).map_err(failed("enable quotas"))?)
    }

    fn set_limit(&mut self, subvolume: Resource<Directory>, bytes: Option<u64>) -> HostResult<()> {
        let subvolume = self.at(&subvolume)?.writable()?;
        Ok(
            btrfs::set_limit_within(subvolume.fd(), bytes)
                .map_err(failed("limit the subvolume"))?,
        )
    }

    fn measure(&mut self, subvolume: Resource<Directory>) -> HostResult<Option<Usage>> {
        let subvolume = self.at(&subvolume)?;
        let found = btrfs::usage_within(subvolume.fd()).map_err(failed("measure the subvolume"))?;
        Ok(found.map(|usage| Usage {
            referenced_bytes: usage.referenced_bytes,
            exclusive_bytes: usage.exclusive_bytes,
            limit_bytes: usage.limit_bytes,
        }))
    }

    fn start_sync(&mut self) -> HostResult<()> {
        self.enter()?;
        let home = self.operation.home.backing()?;
        Ok(btrfs::start_sync(home).map_err(failed("begin a sync"))?)
    }
}
