//! `mica:host/directory`: confined directory handles.
//!
//! Invariant: a name becomes a [`Name`] before anything else happens to it, and every change asks for the right first.

mod handle;

pub use handle::Directory;

use super::attributes::{self, Changeable, Node, Wanted, check_mode};
use super::file::File;
use super::listing::Listing;
use super::meter::Stop;
use super::{HostError, HostResult, State};
use crate::bindings::mica::host::directory::{self as wit, AttributeChanges, Entry};
use crate::{Access, Code, Failure, Right};
use mica_sys::node::{self, Kind};
use mica_sys::{Name, NameError, content, tree};
use std::fmt::Display;
use std::io;
use std::os::fd::AsFd as _;
use wasmtime::component::Resource;

/// Checks that a name is one component.
pub(super) fn component(name: &[u8]) -> Result<Name, Failure> {
    Name::new(name).map_err(|error| {
        let code = match error {
            NameError::Invalid => Code::InvalidName,
            NameError::TooLong => Code::NameTooLong,
        };
        let shown = name.get(..300).unwrap_or(name).escape_ascii();
        Failure::new(code, format!("name `{shown}`: {error}"))
    })
}

/// Builds the failure of an operation on one name.
fn on<'a>(doing: &'a str, name: &'a Name) -> impl Fn(io::Error) -> Failure + 'a {
    move |error| Failure::from_io(named(doing, name), &error)
}

fn named(doing: &str, name: &Name) -> impl Display {
    format!("{doing} `{}`", name.as_bytes().escape_ascii())
}

/// Refuses device numbers that the kernel's `dev_t` of 12 and 20 bits would cut.
fn check_device(major: u32, minor: u32) -> Result<(), Failure> {
    if major > 0xfff || minor > 0xf_ffff {
        return Err(Failure::new(
            Code::Invalid,
            format!("device number {major}:{minor} is beyond 4095:1048575"),
        ));
    }
    Ok(())
}

impl wit::Host for State {}

impl wit::HostDirectory for State {
    fn get_attributes(
        &mut self,
        this: Resource<Directory>,
        wanted: Vec<String>,
    ) -> HostResult<Entry> {
        let wanted = Wanted::parse(wanted, &self.limits)?;
        let directory = self.at(&this)?;
        let failed = |error| Failure::from_io("read attributes of the directory", &error);
        let found = node::stat_fd(directory.fd()).map_err(failed)?;
        let xattrs = attributes::read_xattrs(Node::Open(directory.fd()), found.kind, &wanted)
            .map_err(failed)?;
        Ok(Entry {
            name: Vec::new(),
            attributes: attributes::attributes(&found),
            xattrs,
        })
    }

    fn set_attributes(
        &mut self,
        this: Resource<Directory>,
        changes: AttributeChanges,
    ) -> HostResult<()> {
        self.permit_xattrs(&changes)?;
        let directory = self.at(&this)?;
        attributes::set(Changeable::directory(directory)?, &changes)
    }

    fn list(
        &mut self,
        this: Resource<Directory>,
        wanted: Vec<String>,
    ) -> HostResult<Resource<Listing>> {
        let wanted = Wanted::parse(wanted, &self.limits)?;
        let directory = self.at(&this)?.clone();
        let mut listing = Listing::new(directory, wanted);
        // Now and not with the first page, so that a directory that cannot be read is an error of this call.
        listing.read_on(&mut self.meter)?;
        self.handles.push(listing)
    }

    fn stat(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        wanted: Vec<String>,
    ) -> HostResult<Entry> {
        let wanted = Wanted::parse(wanted, &self.limits)?;
        let directory = self.at(&this)?;
        let name = component(&name)?;
        Ok(attributes::entry(directory, &name, &wanted).map_err(on("stat", &name))?)
    }

    fn open_directory(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
    ) -> HostResult<Resource<Directory>> {
        let directory = self.at(&this)?;
        let name = component(&name)?;
        let fd =
            node::open_directory(directory.fd(), &name).map_err(on("open directory", &name))?;
        let opened = directory.child(fd, &name);
        self.handles.push(opened)
    }

    fn open_file(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
    ) -> HostResult<Resource<File>> {
        let directory = self.at(&this)?;
        let name = component(&name)?;
        let fd = directory
            .open_regular(&name)
            .map_err(on("open file", &name))?;
        self.handles.push(File::new(fd, Access::ReadOnly))
    }

    fn create_directory(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        mode: u32,
    ) -> HostResult<Resource<Directory>> {
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        check_mode(mode)?;
        let fd = node::create_directory(directory.fd(), &name, mode)
            .map_err(on("create directory", &name))?;
        let made = directory.child(fd, &name);
        self.handles.push(made)
    }

    fn create_file(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        mode: u32,
    ) -> HostResult<Resource<File>> {
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        check_mode(mode)?;
        let fd =
            node::create_regular(directory.fd(), &name, mode).map_err(on("create file", &name))?;
        self.handles.push(File::new(fd, Access::ReadWrite))
    }

    fn create_symlink(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        target: Vec<u8>,
    ) -> HostResult<()> {
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        if target.is_empty() || target.contains(&0) {
            return Err(
                Failure::new(Code::Invalid, "the target is empty or has a NUL byte").into(),
            );
        }
        if target.len() > 4095 {
            return Err(Failure::new(Code::NameTooLong, "the target has over 4095 bytes").into());
        }
        Ok(node::create_symlink(directory.fd(), &name, &target)
            .map_err(on("create symbolic link", &name))?)
    }

    fn create_node(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        made: wit::Node,
        mode: u32,
    ) -> HostResult<()> {
        if let wit::Node::BlockDevice(_) | wit::Node::CharacterDevice(_) = made {
            self.permit(Right::DeviceNodes)?;
        }
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        check_mode(mode)?;
        let done = match made {
            wit::Node::Fifo => node::create_fifo(directory.fd(), &name, mode),
            wit::Node::Socket => node::create_socket(directory.fd(), &name, mode),
            wit::Node::BlockDevice((major, minor)) => {
                check_device(major, minor)?;
                node::create_device(directory.fd(), &name, Kind::BlockDevice, major, minor, mode)
            }
            wit::Node::CharacterDevice((0, 0)) => {
                let text = "a character device 0:0 is a whiteout; `mounts.make-whiteout` makes one";
                return Err(Failure::new(Code::Invalid, text).into());
            }
            wit::Node::CharacterDevice((major, minor)) => {
                check_device(major, minor)?;
                node::create_device(
                    directory.fd(),
                    &name,
                    Kind::CharacterDevice,
                    major,
                    minor,
                    mode,
                )
            }
        };
        Ok(done.map_err(on("create node", &name))?)
    }

    fn read_link(&mut self, this: Resource<Directory>, name: Vec<u8>) -> HostResult<Vec<u8>> {
        let directory = self.at(&this)?;
        let name = component(&name)?;
        Ok(node::read_link(directory.fd(), &name).map_err(on("read symbolic link", &name))?)
    }

    fn same_content(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        other: Resource<Directory>,
        other_name: Vec<u8>,
    ) -> HostResult<bool> {
        let other = self.at(&other)?.clone();
        let directory = self.handles.get(&this)?;
        let (name, other_name) = (component(&name)?, component(&other_name)?);
        let new = directory
            .open_regular(&name)
            .map_err(on("open file", &name))?;
        let old = other
            .open_regular(&other_name)
            .map_err(on("open file", &name))?;
        let cancel = &self.operation.cancel;
        match content::same(new.as_fd(), old.as_fd(), &|| !cancel.is_cancelled()) {
            // The comparison ends with `Interrupted` then, which a driver could take for an error of the disk and go on.
            Err(_) if cancel.is_cancelled() => Err(HostError::Trap(Stop::Cancelled.into())),
            told => Ok(told.map_err(on("compare the content of", &name))?),
        }
    }

    fn link(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        target: Resource<Directory>,
        new_name: Vec<u8>,
    ) -> HostResult<()> {
        let target = self.at(&target)?.writable()?.clone();
        let directory = self.handles.get(&this)?.writable()?;
        let (name, new_name) = (component(&name)?, component(&new_name)?);
        let done = directory
            // A file that is still the parent layer's as well gets a copy first: by its number of names it is known as shared.
            .own_for_link(&name)
            .and_then(|()| node::link(directory.fd(), &name, target.fd(), &new_name));
        Ok(done.map_err(on("create hard link", &new_name))?)
    }

    fn rename(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        target: Resource<Directory>,
        new_name: Vec<u8>,
    ) -> HostResult<()> {
        let target = self.at(&target)?.writable()?.clone();
        let directory = self.handles.get(&this)?.writable()?;
        let (name, new_name) = (component(&name)?, component(&new_name)?);
        Ok(node::rename(directory.fd(), &name, target.fd(), &new_name)
            .map_err(on("rename", &name))?)
    }

    fn set_entry_attributes(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        changes: AttributeChanges,
    ) -> HostResult<()> {
        self.permit_xattrs(&changes)?;
        let directory = self.at(&this)?;
        let name = component(&name)?;
        attributes::set(Changeable::entry(directory, &name)?, &changes)
    }

    fn copy_xattrs(
        &mut self,
        this: Resource<Directory>,
        name: Vec<u8>,
        original: Resource<Directory>,
        original_name: Vec<u8>,
    ) -> HostResult<()> {
        let original = self.at(&original)?.clone();
        let directory = self.handles.get(&this)?.writable()?;
        let (name, original_name) = (component(&name)?, component(&original_name)?);
        let from = Node::At(original.fd(), &original_name);
        Ok(attributes::copy_xattrs(
            from,
            Node::At(directory.fd(), &name),
        )?)
    }

    fn copy_own_xattrs(
        &mut self,
        this: Resource<Directory>,
        original: Resource<Directory>,
    ) -> HostResult<()> {
        let original = self.at(&original)?.clone();
        let directory = self.handles.get(&this)?.writable()?;
        let from = Node::Open(original.fd());
        Ok(attributes::copy_xattrs(from, Node::Open(directory.fd()))?)
    }

    fn clear_own_xattrs(&mut self, this: Resource<Directory>) -> HostResult<()> {
        let directory = self.at(&this)?.writable()?;
        Ok(attributes::clear_xattrs(directory.fd())?)
    }

    fn remove_file(&mut self, this: Resource<Directory>, name: Vec<u8>) -> HostResult<()> {
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        Ok(node::remove_file(directory.fd(), &name).map_err(on("remove file", &name))?)
    }

    fn remove_directory(&mut self, this: Resource<Directory>, name: Vec<u8>) -> HostResult<()> {
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        Ok(node::remove_directory(directory.fd(), &name).map_err(on("remove directory", &name))?)
    }

    fn remove_tree(&mut self, this: Resource<Directory>, name: Vec<u8>) -> HostResult<()> {
        let directory = self.at(&this)?.writable()?;
        let name = component(&name)?;
        tree::remove(directory.fd(), &name).map_err(on("remove tree", &name))?;
        Ok(())
    }

    fn drop(&mut self, this: Resource<Directory>) -> wasmtime::Result<()> {
        self.close(this)
    }
}
