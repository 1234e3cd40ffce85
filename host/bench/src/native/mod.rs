//! The guests' library over system calls: what a driver would be without the sandbox.
//!
//! Invariant: each method makes the calls that the host makes for the function of the same name, and nothing else.

mod attributes;
mod stream;

pub(crate) use stream::{Counted, Sink, Source};

use anyhow::Result as Anyhow;
use attributes::{changes_of, entry, set};
use mica_sdk::apply::Target;
use mica_sdk::tree;
use mica_sdk::{AttributeChanges, Code, Copied, Entry, Failure, Node};
use mica_sys::node::{self, Kind};
use mica_sys::{Name, content, errno};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

type Answer<T> = std::result::Result<T, Failure>;

/// An open directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<OwnedFd>);

/// An open file.
#[derive(Debug)]
pub(crate) struct File(OwnedFd);

/// Names of a directory that are still to be given out.
#[derive(Debug)]
pub(crate) struct Listing {
    directory: Directory,
    names: std::vec::IntoIter<Box<[u8]>>,
    wanted: Vec<String>,
}

impl Directory {
    /// Opens a directory by its path.
    pub(crate) fn open(path: &Path) -> Anyhow<Self> {
        Ok(Self(Arc::new(fs::File::open(path)?.into())))
    }
}

/// The host's table, as far as a benchmark meets it.
fn failure(error: &io::Error) -> Failure {
    let code = match error.raw_os_error() {
        Some(errno::ELOOP) => Code::Symlink,
        Some(errno::EISDIR) => Code::IsADirectory,
        Some(errno::ENOTDIR) => Code::NotADirectory,
        Some(errno::EINVAL) => Code::Invalid,
        _ => match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::AlreadyExists => Code::Exists,
            io::ErrorKind::UnexpectedEof => Code::Truncated,
            _ => Code::Io,
        },
    };
    Failure {
        code,
        message: error.to_string(),
    }
}

fn answer<T>(result: io::Result<T>) -> Answer<T> {
    result.map_err(|error| failure(&error))
}

fn name(bytes: &[u8]) -> Answer<Name> {
    Name::new(bytes).map_err(|error| Failure {
        code: Code::InvalidName,
        message: error.to_string(),
    })
}

impl tree::Directory for Directory {
    type File = File;
    type Listing = Listing;

    fn get_attributes(&self, wanted: &[String]) -> Answer<Entry> {
        answer(attributes::own_entry(self.0.as_fd(), wanted))
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Answer<()> {
        answer(attributes::set_fd(self.0.as_fd(), &changes_of(changes)))
    }

    fn list(&self, wanted: &[String]) -> Answer<Listing> {
        Ok(Listing {
            directory: self.clone(),
            names: answer(node::names(self.0.as_fd()))?.into_iter(),
            wanted: wanted.to_vec(),
        })
    }

    fn stat(&self, at: &[u8], wanted: &[String]) -> Answer<Entry> {
        answer(entry(self.0.as_fd(), &name(at)?, wanted))
    }

    fn open_directory(&self, at: &[u8]) -> Answer<Self> {
        let opened = answer(node::open_directory(self.0.as_fd(), &name(at)?))?;
        Ok(Self(Arc::new(opened)))
    }

    fn open_file(&self, at: &[u8]) -> Answer<File> {
        answer(node::open_regular(self.0.as_fd(), &name(at)?)).map(File)
    }

    fn create_directory(&self, at: &[u8], mode: u32) -> Answer<Self> {
        let made = answer(node::create_directory(self.0.as_fd(), &name(at)?, mode))?;
        Ok(Self(Arc::new(made)))
    }

    fn create_file(&self, at: &[u8], mode: u32) -> Answer<File> {
        answer(node::create_regular(self.0.as_fd(), &name(at)?, mode)).map(File)
    }

    fn create_symlink(&self, at: &[u8], target: &[u8]) -> Answer<()> {
        answer(node::create_symlink(self.0.as_fd(), &name(at)?, target))
    }

    fn create_node(&self, at: &[u8], made: Node, mode: u32) -> Answer<()> {
        let (fd, at) = (self.0.as_fd(), name(at)?);
        answer(match made {
            Node::Fifo => node::create_fifo(fd, &at, mode),
            Node::Socket => node::create_socket(fd, &at, mode),
            Node::BlockDevice((major, minor)) => {
                node::create_device(fd, &at, Kind::BlockDevice, major, minor, mode)
            }
            Node::CharacterDevice((major, minor)) => {
                node::create_device(fd, &at, Kind::CharacterDevice, major, minor, mode)
            }
        })
    }

    fn read_link(&self, at: &[u8]) -> Answer<Vec<u8>> {
        answer(node::read_link(self.0.as_fd(), &name(at)?))
    }

    fn same_content(&self, at: &[u8], other: &Self, other_name: &[u8]) -> Answer<bool> {
        let new = answer(node::open_regular(self.0.as_fd(), &name(at)?))?;
        let old = answer(node::open_regular(other.0.as_fd(), &name(other_name)?))?;
        answer(content::same(new.as_fd(), old.as_fd(), &|| true))
    }

    fn link(&self, at: &[u8], target: &Self, new_name: &[u8]) -> Answer<()> {
        let (at, new_name) = (name(at)?, name(new_name)?);
        answer(node::link(self.0.as_fd(), &at, target.0.as_fd(), &new_name))
    }

    fn rename(&self, at: &[u8], target: &Self, new_name: &[u8]) -> Answer<()> {
        let (at, new_name) = (name(at)?, name(new_name)?);
        answer(node::rename(
            self.0.as_fd(),
            &at,
            target.0.as_fd(),
            &new_name,
        ))
    }

    fn set_entry_attributes(&self, at: &[u8], changes: &AttributeChanges) -> Answer<()> {
        answer(set(self.0.as_fd(), &name(at)?, &changes_of(changes)))
    }

    fn copy_xattrs(&self, _: &[u8], _: &Self, _: &[u8]) -> Answer<()> {
        // No job copies a tree natively.
        Err(failure(&io::ErrorKind::Unsupported.into()))
    }

    fn copy_own_xattrs(&self, _: &Self) -> Answer<()> {
        Err(failure(&io::ErrorKind::Unsupported.into()))
    }

    fn clear_own_xattrs(&self) -> Answer<()> {
        let fd = self.0.as_fd();
        for key in answer(mica_sys::xattr::list_fd(fd))? {
            answer(mica_sys::xattr::remove_fd(fd, &key))?;
        }
        Ok(())
    }

    fn remove_file(&self, at: &[u8]) -> Answer<()> {
        answer(node::remove_file(self.0.as_fd(), &name(at)?))
    }

    fn remove_tree(&self, at: &[u8]) -> Answer<()> {
        answer(mica_sys::tree::remove(self.0.as_fd(), &name(at)?)).map(drop)
    }
}

impl Target for Directory {}

impl tree::File for File {
    fn set_attributes(&self, changes: &AttributeChanges) -> Answer<()> {
        answer(attributes::set_fd(self.0.as_fd(), &changes_of(changes)))
    }

    fn set_size(&self, size: u64) -> Answer<()> {
        answer(content::set_length(self.0.as_fd(), size))
    }

    fn copy_content(&self, original: &Self) -> Answer<Copied> {
        let copied = answer(content::copy(original.0.as_fd(), self.0.as_fd()))?;
        Ok(match copied {
            content::Copied::Reflink => Copied::Reflink,
            content::Copied::Bytes => Copied::Bytes,
        })
    }
}

/// Entries of a page: the host's number.
const PAGE: usize = 1024;

impl tree::Listing for Listing {
    fn next_page(&mut self) -> Answer<Vec<Entry>> {
        let mut page = Vec::with_capacity(self.names.len().min(PAGE));
        for at in self.names.by_ref().take(PAGE) {
            page.push(answer(entry(
                self.directory.0.as_fd(),
                &name(&at)?,
                &self.wanted,
            ))?);
        }
        Ok(page)
    }
}
