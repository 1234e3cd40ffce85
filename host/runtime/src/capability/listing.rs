//! `mica:host/directory`: the entries of a directory in bounded pages.
//!
//! The names are read and sorted in runs, most directories in one, the attributes page by page: a guest merges two
//! directories of any size with one page of each in its memory, and the host holds no more names than the operation may.

use super::attributes::{self, Wanted, XATTR_BYTES};
use super::directory::Directory;
use super::meter::Meter;
use super::{HostResult, State};
use crate::bindings::mica::host::directory::{self as wit, Entry};
use crate::{Code, Failure};
use mica_sys::{Name, node};
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
    /// Where the next run begins, if there is one.
    after: Option<Box<[u8]>>,
    wanted: Wanted,
    bytes: usize,
}

impl Listing {
    pub(super) fn new(directory: Directory, wanted: Wanted) -> Self {
        Self {
            directory,
            names: Vec::new().into_iter(),
            after: None,
            wanted,
            bytes: 0,
        }
    }

    /// Reads the next names.
    pub(super) fn read_on(&mut self, meter: &mut Meter) -> Result<(), Failure> {
        meter.give_listing(std::mem::take(&mut self.bytes));
        let most = meter.listing_run();
        let run = node::names_after(self.directory.fd(), self.after.as_deref(), most)
            .map_err(|error| Failure::from_io("list the directory", &error))?;
        self.after = run.names.last().filter(|_| run.has_more).cloned();
        self.bytes = run.bytes;
        self.names = run.names.into_iter();
        meter.take_listing(self.bytes);
        Ok(())
    }

    /// Whether names are left that no page has given, but none is at hand.
    fn must_read_on(&self) -> bool {
        self.names.as_slice().is_empty() && self.after.is_some()
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
        self.enter()?;
        let listing = self.handles.get_mut(&this)?;
        loop {
            let (page, bytes) = listing.page(entries, bytes)?;
            // A page is empty at the end only, even if all names of a run have vanished.
            if !page.is_empty() || !listing.must_read_on() {
                self.meter.feed(bytes);
                return Ok(page);
            }
            listing.read_on(&mut self.meter)?;
        }
    }

    fn drop(&mut self, this: Resource<Listing>) -> wasmtime::Result<()> {
        let listing = self.handles.delete(this)?;
        self.meter.give_listing(listing.bytes);
        Ok(())
    }
}
