//! `mica:host/directory`: open regular files.
//!
//! Invariant: content moves between descriptors; what passes through a guest is bounded by `page_bytes`.

use super::attributes::{self, Changeable};
use super::{HostResult, State};
use crate::bindings::mica::host::directory::{self as wit, AttributeChanges, Attributes, Copied};
use crate::{Access, Code, Failure};
use mica_sys::{content, node};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use wasmtime::component::Resource;

/// An open regular file and what may be done to it.
#[derive(Clone, Debug)]
pub struct File {
    fd: Arc<OwnedFd>,
    access: Access,
}

impl File {
    pub(super) fn new(fd: OwnedFd, access: Access) -> Self {
        Self {
            fd: Arc::new(fd),
            access,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Refuses what only a file that was created here may get.
    pub(super) fn writable(&self) -> Result<&Self, Failure> {
        match self.access {
            Access::ReadWrite => Ok(self),
            Access::ReadOnly => Err(Failure::new(Code::ReadOnly, "the file handle is read-only")),
        }
    }
}

impl wit::HostFile for State {
    fn get_attributes(&mut self, this: Resource<File>) -> HostResult<Attributes> {
        let file = self.at(&this)?;
        let found = node::stat_fd(file.fd())
            .map_err(|error| Failure::from_io("read attributes of the file", &error))?;
        Ok(attributes::attributes(&found))
    }

    fn set_attributes(
        &mut self,
        this: Resource<File>,
        changes: AttributeChanges,
    ) -> HostResult<()> {
        self.permit_xattrs(&changes)?;
        let file = self.at(&this)?;
        attributes::set(Changeable::file(file)?, &changes)
    }

    fn read(&mut self, this: Resource<File>, offset: u64, length: u32) -> HostResult<Vec<u8>> {
        self.check_length(length.into())?;
        let file = self.at(&this)?;
        let mut buffer = vec![0; length as usize];
        let filled = content::read_full_at(file.fd(), &mut buffer, offset)
            .map_err(|error| Failure::from_io("read the file", &error))?;
        buffer.truncate(filled);
        self.meter.feed(filled);
        Ok(buffer)
    }

    fn write(&mut self, this: Resource<File>, offset: u64, bytes: Vec<u8>) -> HostResult<()> {
        self.check_length(bytes.len() as u64)?;
        let file = self.at(&this)?.writable()?;
        Ok(content::write_all_at(file.fd(), &bytes, offset)
            .map_err(|error| Failure::from_io("write the file", &error))?)
    }

    fn set_size(&mut self, this: Resource<File>, size: u64) -> HostResult<()> {
        let file = self.at(&this)?.writable()?;
        Ok(content::set_length(file.fd(), size)
            .map_err(|error| Failure::from_io("set the file's size", &error))?)
    }

    fn copy_content(
        &mut self,
        this: Resource<File>,
        original: Resource<File>,
    ) -> HostResult<Copied> {
        let original = self.at(&original)?.clone();
        let file = self.handles.get(&this)?.writable()?;
        let copied = content::copy(original.fd(), file.fd())
            .map_err(|error| Failure::from_io("copy the file's content", &error))?;
        Ok(match copied {
            content::Copied::Reflink => Copied::Reflink,
            content::Copied::Bytes => Copied::Bytes,
        })
    }

    fn drop(&mut self, this: Resource<File>) -> wasmtime::Result<()> {
        self.close(this)
    }
}
