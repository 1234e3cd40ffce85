//! The traits for the host's handles: within a component, a method is the host call of its name.
//!
//! Invariant: no method does anything but its host call.

use super::{ChangeSink, Directory, File, Listing, Sink, Source};
use crate::host::{directory, streams};
use crate::{AttributeChanges, Change, Copied, Entry, Failure, Node, Result};

impl Directory for directory::Directory {
    type File = directory::File;
    type Listing = directory::Listing;

    fn get_attributes(&self, wanted: &[String]) -> Result<Entry, Failure> {
        Self::get_attributes(self, wanted)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure> {
        Self::set_attributes(self, changes)
    }

    fn list(&self, wanted: &[String]) -> Result<Self::Listing, Failure> {
        Self::list(self, wanted)
    }

    fn stat(&self, name: &[u8], wanted: &[String]) -> Result<Entry, Failure> {
        Self::stat(self, name, wanted)
    }

    fn open_directory(&self, name: &[u8]) -> Result<Self, Failure> {
        Self::open_directory(self, name)
    }

    fn open_file(&self, name: &[u8]) -> Result<Self::File, Failure> {
        Self::open_file(self, name)
    }

    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Self, Failure> {
        Self::create_directory(self, name, mode)
    }

    fn create_file(&self, name: &[u8], mode: u32) -> Result<Self::File, Failure> {
        Self::create_file(self, name, mode)
    }

    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Failure> {
        Self::create_symlink(self, name, target)
    }

    fn create_node(&self, name: &[u8], node: Node, mode: u32) -> Result<(), Failure> {
        Self::create_node(self, name, node, mode)
    }

    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Failure> {
        Self::read_link(self, name)
    }

    fn same_content(&self, name: &[u8], other: &Self, other_name: &[u8]) -> Result<bool, Failure> {
        Self::same_content(self, name, other, other_name)
    }

    fn link(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure> {
        Self::link(self, name, target, new_name)
    }

    fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure> {
        Self::rename(self, name, target, new_name)
    }

    fn set_entry_attributes(&self, name: &[u8], changes: &AttributeChanges) -> Result<(), Failure> {
        Self::set_entry_attributes(self, name, changes)
    }

    fn copy_xattrs(
        &self,
        name: &[u8],
        original: &Self,
        original_name: &[u8],
    ) -> Result<(), Failure> {
        Self::copy_xattrs(self, name, original, original_name)
    }

    fn copy_own_xattrs(&self, original: &Self) -> Result<(), Failure> {
        Self::copy_own_xattrs(self, original)
    }

    fn clear_own_xattrs(&self) -> Result<(), Failure> {
        Self::clear_own_xattrs(self)
    }

    fn remove_file(&self, name: &[u8]) -> Result<(), Failure> {
        Self::remove_file(self, name)
    }

    fn remove_tree(&self, name: &[u8]) -> Result<(), Failure> {
        Self::remove_tree(self, name)
    }
}

impl File for directory::File {
    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure> {
        Self::set_attributes(self, changes)
    }

    fn set_size(&self, size: u64) -> Result<(), Failure> {
        Self::set_size(self, size)
    }

    fn copy_content(&self, original: &Self) -> Result<Copied, Failure> {
        Self::copy_content(self, original)
    }
}

impl Listing for directory::Listing {
    fn next_page(&mut self) -> Result<Vec<Entry>, Failure> {
        self.next()
    }
}

impl Sink for &streams::Sink {
    type File = directory::File;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        streams::Sink::write(self, bytes)
    }

    fn copy_from(&mut self, file: &Self::File, offset: u64, length: u64) -> Result<(), Failure> {
        streams::Sink::copy_from(self, file, offset, length)
    }
}

impl Source for &streams::Source {
    type File = directory::File;

    fn read(&mut self, length: u32) -> Result<Vec<u8>, Failure> {
        streams::Source::read(self, length)
    }

    fn copy_to(&mut self, file: &Self::File, offset: u64, length: u64) -> Result<(), Failure> {
        streams::Source::copy_to(self, file, offset, length)
    }

    fn skip(&mut self, length: u64) -> Result<(), Failure> {
        streams::Source::skip(self, length)
    }
}

impl ChangeSink for &streams::ChangeSink {
    fn push(&mut self, changes: &[Change]) -> Result<(), Failure> {
        streams::ChangeSink::push(self, changes)
    }
}
