//! Directories, files and streams as the library sees them: the resources of `mica:host` as traits.
//!
//! The types are those of the contract, so within a component a call of a trait is a host call and nothing else. The
//! methods mean what `directory.wit` and `streams.wit` say of the functions of the same name.
//!
//! Invariant: a name is one component; nothing here follows a symbolic link or knows a path.

mod guest;
pub mod pages;
pub mod trail;
pub mod wanted;

use crate::{AttributeChanges, Change, Copied, Entry, Failure, Node, Result};

/// An open directory.
pub trait Directory: Sized {
    /// An open regular file of the same tree.
    type File: File;
    /// A listing of the same tree.
    type Listing: Listing;

    /// Reads the directory's own attributes; the entry's name is empty.
    ///
    /// # Errors
    /// What the host answers; so for all methods.
    fn get_attributes(&self, wanted: &[String]) -> Result<Entry, Failure>;
    /// Sets the directory's own attributes.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure>;
    /// Begins to list the entries in byte order of their names.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn list(&self, wanted: &[String]) -> Result<Self::Listing, Failure>;
    /// Looks one name up.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn stat(&self, name: &[u8], wanted: &[String]) -> Result<Entry, Failure>;
    /// Opens a directory within this one.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn open_directory(&self, name: &[u8]) -> Result<Self, Failure>;
    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn open_file(&self, name: &[u8]) -> Result<Self::File, Failure>;
    /// Makes a directory and opens it.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn create_directory(&self, name: &[u8], mode: u32) -> Result<Self, Failure>;
    /// Makes an empty regular file and opens it for reading and writing.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn create_file(&self, name: &[u8], mode: u32) -> Result<Self::File, Failure>;
    /// Makes a symbolic link.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Failure>;
    /// Makes a pipe, socket or device node.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn create_node(&self, name: &[u8], node: Node, mode: u32) -> Result<(), Failure>;
    /// Reads the target of a symbolic link.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Failure>;
    /// Whether the regular file `name` has the same content as `other_name` in `other`.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn same_content(&self, name: &[u8], other: &Self, other_name: &[u8]) -> Result<bool, Failure>;
    /// Gives the node `name` a further name in `target`.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn link(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure>;
    /// Moves the node `name` to a name in `target` that is free.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure>;
    /// Sets attributes of the node `name`.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn set_entry_attributes(&self, name: &[u8], changes: &AttributeChanges) -> Result<(), Failure>;
    /// Gives the node `name` the extended attributes of the node `original_name` in `original`.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn copy_xattrs(
        &self,
        name: &[u8],
        original: &Self,
        original_name: &[u8],
    ) -> Result<(), Failure>;
    /// Gives the directory the extended attributes of `original`.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn copy_own_xattrs(&self, original: &Self) -> Result<(), Failure>;
    /// Removes the directory's own extended attributes.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn clear_own_xattrs(&self) -> Result<(), Failure>;
    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn remove_file(&self, name: &[u8]) -> Result<(), Failure>;
    /// Removes a name with all that lies below it.
    ///
    /// # Errors
    /// See [`Directory::get_attributes`].
    fn remove_tree(&self, name: &[u8]) -> Result<(), Failure>;
}

/// An open regular file.
pub trait File {
    /// Sets attributes.
    ///
    /// # Errors
    /// What the host answers.
    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure>;
    /// Sets the size; what is added is a hole.
    ///
    /// # Errors
    /// What the host answers.
    fn set_size(&self, size: u64) -> Result<(), Failure>;
    /// Makes this empty file a copy of another's content.
    ///
    /// # Errors
    /// What the host answers.
    fn copy_content(&self, original: &Self) -> Result<Copied, Failure>;
}

/// The entries of one directory.
pub trait Listing {
    /// The next entries in byte order of their names; empty at the end.
    ///
    /// # Errors
    /// What the host answers.
    fn next_page(&mut self) -> Result<Vec<Entry>, Failure>;
}

/// Where an archive goes.
pub trait Sink {
    /// The files whose content can be appended.
    type File;
    /// Appends bytes, 256 KiB at most.
    ///
    /// # Errors
    /// What the host answers.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure>;
    /// Appends exactly `length` bytes of the file from `offset` on.
    ///
    /// # Errors
    /// What the host answers; a shorter file is `truncated`.
    fn copy_from(&mut self, file: &Self::File, offset: u64, length: u64) -> Result<(), Failure>;
}

/// Where an archive comes from.
pub trait Source {
    /// The files that content can be moved to.
    type File: File;
    /// Reads up to `length` bytes, 256 KiB at most; fewer only at the end.
    ///
    /// # Errors
    /// What the host answers.
    fn read(&mut self, length: u32) -> Result<Vec<u8>, Failure>;
    /// Moves exactly `length` bytes to the file at `offset`.
    ///
    /// # Errors
    /// What the host answers; an end before that is `truncated`.
    fn copy_to(&mut self, file: &Self::File, offset: u64, length: u64) -> Result<(), Failure>;
    /// Throws exactly `length` bytes away.
    ///
    /// # Errors
    /// What the host answers; an end before that is `truncated`.
    fn skip(&mut self, length: u64) -> Result<(), Failure>;
}

/// Where a list of changes goes.
pub trait ChangeSink {
    /// Appends changes, 1024 at most.
    ///
    /// # Errors
    /// What the host answers.
    fn push(&mut self, changes: &[Change]) -> Result<(), Failure>;
}
