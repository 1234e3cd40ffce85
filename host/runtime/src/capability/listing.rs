//! `mica:host/directory`: the entries of a directory in bounded pages.
//!
//! The names are read and sorted at once, the attributes page by page: a guest merges two directories of any size
//! with one page of each in its memory.

use super::attributes::{self, Wanted, XATTR_BYTES};
use super::directory::Directory;
use super::{HostResult, State};
use crate::bindings::mica::host::directory::{self as wit, Entry};
use crate::{Code, Failure};
use mica_sys::Name;
use mica_sys::node::name_cost;
use std::io;
use std::vec;
use wasmtime::component::Resource;

/// What one entry costs in a page beside its name and extended attributes.
const ENTRY_BYTES: usize = 96;

/// A directory that is being listed.
#[derive(Debug)]
pub struct Listing {
    directory: Directory,
    names: vec::IntoIter<Box<[u8]>>,
    wanted: Wanted,
    bytes: usize,
}

impl Listing {
    pub(super) fn new(directory: Directory, names: Vec<Box<[u8]>>, wanted: Wanted) -> Self {
        let bytes = names.iter().map(|name| name_cost(name)).sum();
        Self {
            directory,
            names: names.into_iter(),
            wanted,
            bytes,
        }
    }

    /// Bytes that the names take in the host.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next entries, and what they cost.
    fn page(
        &mut self,
        most_entries: usize,
        most_bytes: usize,
    ) -> Result<(Vec<Entry>, usize), Failure> {
        let mut page = Vec::with_capacity(self.names.len().min(most_entries));
        let mut bytes = 0;
        while page.len() < most_entries && bytes < most_bytes {
            let Some(name) = self.names.next() else { break };
            let shown = || format!("stat `{}`", name.escape_ascii());
            let component = Name::new(&name)
                .map_err(|error| Failure::new(Code::Io, format!("{}: {error}", shown())))?;
            match attributes::entry(&self.directory, &component, &self.wanted) {
                Ok(entry) => {
                    bytes += cost(&entry);
                    page.push(entry);
                }
                // It vanished after its name was read: a live layer changes under its reader.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::from_io(shown(), &error)),
            }
        }
        Ok((page, bytes))
    }
}

fn cost(entry: &Entry) -> usize {
    let xattrs: usize = entry
        .xattrs
        .iter()
        .map(|xattr| xattr.name.len() + xattr.value.len() + XATTR_BYTES)
        .sum();
    ENTRY_BYTES + entry.name.len() + xattrs
}

impl wit::HostListing for State {
    fn next(&mut self, this: Resource<Listing>) -> HostResult<Vec<Entry>> {
        let (entries, bytes) = (self.limits.page_entries, self.limits.page_bytes);
        let (page, bytes) = self.at(&this)?.page(entries, bytes)?;
        self.meter.feed(bytes);
        Ok(page)
    }

    fn drop(&mut self, this: Resource<Listing>) -> wasmtime::Result<()> {
        let listing = self.handles.delete(this)?;
        self.meter.give_listing(listing.bytes);
        Ok(())
    }
}
