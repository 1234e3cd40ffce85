//! `mica:host/directory`: handles on directories, by system calls.
//!
//! Invariant: a name is one component and no link is followed, as in the host.

use super::attributes::{self, Node as At, check_mode};
pub use super::file::File;
use super::{failed, no_glue, refused};
pub use crate::generated::host_functions::mica::host::directory::{
    AttributeChanges, Attributes, Copied, Entry, Name, Node, NodeKind, Ownership, Timestamp, Xattr,
};
use crate::mica::host::mounts::Access;
use crate::mica::host::types::{Code, Failure};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, chmodat, fchmod, fgetxattr,
    fremovexattr, fstat, linkat, makedev, mkdirat, mknodat, openat2, readlinkat, renameat_with,
    symlinkat, unlinkat,
};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::IntoIter;

/// Entries of a page.
const PAGE: usize = 1024;

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    access: Access,
    is_room: bool,
}

no_glue!(Directory, Listing);

/// Opens a directory anywhere on the machine, read-write.
///
/// # Errors
/// The kernel's.
pub fn open(path: &Path) -> io::Result<Directory> {
    Directory::at(path, Access::ReadWrite)
}

/// What no look-up does: leave the directory, follow a link, cross a mount.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Checks that a name is one component.
pub(super) fn component(name: &[u8]) -> Result<&[u8], Failure> {
    let shown = || name.escape_ascii();
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        let text = format!("name `{}`: no single component of a path", shown());
        return Err(refused(Code::InvalidName, text));
    }
    if name.len() > 255 {
        let text = format!("a name of {} bytes; 255 are allowed", name.len());
        return Err(refused(Code::NameTooLong, text));
    }
    Ok(name)
}

fn named(doing: &str, name: &[u8]) -> String {
    format!("{doing} `{}`", name.escape_ascii())
}

impl Directory {
    pub(crate) fn at(path: &Path, access: Access) -> io::Result<Self> {
        Ok(Self {
            fd: Arc::new(fs::File::open(path)?.into()),
            access,
            is_room: false,
        })
    }

    /// A layer's own directory, which no view may show.
    pub(crate) fn room(path: &Path, access: Access) -> io::Result<Self> {
        Ok(Self {
            is_room: true,
            ..Self::at(path, access)?
        })
    }

    /// The same directory with other rights.
    pub(crate) fn with(&self, access: Access) -> Self {
        Self {
            fd: Arc::clone(&self.fd),
            access,
            is_room: self.is_room,
        }
    }

    pub(crate) fn is_room(&self) -> bool {
        self.is_room
    }

    /// Where it lies now.
    pub(crate) fn path(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        fs::read_link(&link).unwrap_or_else(|_gone| PathBuf::from(link))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn child(&self, fd: OwnedFd) -> Self {
        Self {
            fd: Arc::new(fd),
            access: self.access,
            is_room: false,
        }
    }

    pub(super) fn writable(&self) -> Result<&Self, Failure> {
        match self.access {
            Access::ReadWrite => Ok(self),
            Access::ReadOnly => {
                let text = "the directory handle is read-only";
                Err(refused(Code::ReadOnly, text))
            }
        }
    }

    fn open_at(&self, name: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        openat2(self.fd(), name, flags | OFlags::CLOEXEC, mode, RESOLVE)
    }

    fn open_regular(&self, name: &[u8]) -> Result<OwnedFd, Failure> {
        let name = component(name)?;
        let doing = named("open file", name);
        let found = At::At(self.fd(), name).stat().map_err(failed(&doing))?;
        let code = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let opened = self.open_at(name, flags, Mode::empty());
                return opened.map_err(failed(doing));
            }
            FileType::Directory => Code::IsADirectory,
            FileType::Symlink => Code::Symlink,
            _ => Code::Invalid,
        };
        Err(refused(code, format!("{doing}: it is no regular file")))
    }

    /// Takes away the access lists that a new node has from this directory, and gives it its mode whatever the umask.
    fn settle(&self, made: BorrowedFd<'_>, mode: u32) -> rustix::io::Result<()> {
        if fgetxattr(self.fd(), c"system.posix_acl_default", &mut [0_u8; 0]).is_ok() {
            for list in ["system.posix_acl_access", "system.posix_acl_default"] {
                let _absent_is_fine = fremovexattr(made, list);
            }
        }
        match fstat(made)?.st_mode & 0o7777 == mode {
            true => Ok(()),
            false => fchmod(made, Mode::from_raw_mode(mode)),
        }
    }

    /// Reads the directory's own attributes.
    pub fn get_attributes(&self, wanted: &[String]) -> Result<Entry, Failure> {
        attributes::entry(At::Open(self.fd()), wanted)
    }

    /// Sets the directory's own attributes.
    pub fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Failure> {
        attributes::set(At::Open(self.writable()?.fd()), changes)
    }

    /// Begins to list the entries.
    pub fn list(&self, wanted: &[String]) -> Result<Listing, Failure> {
        attributes::check_wanted(wanted)?;
        let doing = "list the directory";
        let mut names = Vec::new();
        for entry in Dir::read_from(self.fd()).map_err(failed(doing))? {
            let entry = entry.map_err(failed(doing))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(Listing {
            directory: self.with(self.access),
            names: RefCell::new(names.into_iter()),
            wanted: wanted.to_vec(),
        })
    }

    /// Looks one name up.
    pub fn stat(&self, name: &[u8], wanted: &[String]) -> Result<Entry, Failure> {
        attributes::entry(At::At(self.fd(), component(name)?), wanted)
    }

    /// Opens a directory within this one, with this handle's rights.
    pub fn open_directory(&self, name: &[u8]) -> Result<Self, Failure> {
        let name = component(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = self.open_at(name, flags, Mode::empty());
        let opened = opened.map_err(failed(named("open directory", name)))?;
        Ok(self.child(opened))
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, name: &[u8]) -> Result<File, Failure> {
        Ok(File::new(self.open_regular(name)?, Access::ReadOnly))
    }

    /// Makes a directory and opens it.
    pub fn create_directory(&self, name: &[u8], mode: u32) -> Result<Self, Failure> {
        let (fd, name) = (self.writable()?.fd(), component(name)?);
        check_mode(mode)?;
        let make = || {
            mkdirat(fd, name, Mode::from_raw_mode(mode & 0o777) | Mode::RWXU)?;
            let made = self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            self.settle(made.as_fd(), mode)?;
            Ok(self.child(made))
        };
        make().map_err(failed::<rustix::io::Errno>(named("create directory", name)))
    }

    /// Makes an empty regular file and opens it for reading and writing.
    pub fn create_file(&self, name: &[u8], mode: u32) -> Result<File, Failure> {
        let name = component(name)?;
        self.writable()?;
        check_mode(mode)?;
        let make = || {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let made = self.open_at(name, flags, Mode::from_raw_mode(mode & 0o777))?;
            self.settle(made.as_fd(), mode)?;
            Ok(File::new(made, Access::ReadWrite))
        };
        make().map_err(failed::<rustix::io::Errno>(named("create file", name)))
    }

    /// Makes a symbolic link.
    pub fn create_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Failure> {
        let (fd, name) = (self.writable()?.fd(), component(name)?);
        if target.is_empty() || target.contains(&0) {
            let text = "the target is empty or has a NUL byte";
            return Err(refused(Code::Invalid, text));
        }
        if target.len() > 4095 {
            let text = "the target has over 4095 bytes";
            return Err(refused(Code::NameTooLong, text));
        }
        symlinkat(target, fd, name).map_err(failed(named("create symbolic link", name)))
    }

    /// Makes a pipe, socket or device node.
    pub fn create_node(&self, name: &[u8], node: Node, mode: u32) -> Result<(), Failure> {
        let (fd, name) = (self.writable()?.fd(), component(name)?);
        check_mode(mode)?;
        let (kind, (major, minor)) = match node {
            Node::Fifo => (FileType::Fifo, (0, 0)),
            Node::Socket => (FileType::Socket, (0, 0)),
            Node::BlockDevice(numbers) => (FileType::BlockDevice, numbers),
            Node::CharacterDevice((0, 0)) => {
                let text = "a character device 0:0 is a whiteout; `mounts.make-whiteout` makes one";
                return Err(refused(Code::Invalid, text));
            }
            Node::CharacterDevice(numbers) => (FileType::CharacterDevice, numbers),
        };
        if major > 0xfff || minor > 0xf_ffff {
            let text = format!("device number {major}:{minor} is beyond 4095:1048575");
            return Err(refused(Code::Invalid, text));
        }
        let mode = Mode::from_raw_mode(mode);
        mknodat(fd, name, kind, mode, makedev(major, minor))
            .and_then(|()| chmodat(fd, name, mode, AtFlags::empty()))
            .map_err(failed(named("create node", name)))
    }

    /// Reads the target of a symbolic link.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Failure> {
        let name = component(name)?;
        let target = readlinkat(self.fd(), name, Vec::new());
        let target = target.map_err(failed(named("read symbolic link", name)))?;
        Ok(target.into_bytes())
    }

    /// Says whether two regular files have the same content.
    pub fn same_content(
        &self,
        name: &[u8],
        other: &Self,
        other_name: &[u8],
    ) -> Result<bool, Failure> {
        let (new, old) = (self.open_regular(name)?, other.open_regular(other_name)?);
        let same = super::file::same(new.as_fd(), old.as_fd());
        same.map_err(failed(named("compare the content of", name)))
    }

    /// Gives a node a further name in `target`.
    pub fn link(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure> {
        let (fd, to) = (self.writable()?.fd(), target.writable()?.fd());
        let (name, new_name) = (component(name)?, component(new_name)?);
        linkat(fd, name, to, new_name, AtFlags::empty())
            .map_err(failed(named("create hard link", new_name)))
    }

    /// Moves a node to a name in `target` that is free.
    pub fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> Result<(), Failure> {
        let (fd, to) = (self.writable()?.fd(), target.writable()?.fd());
        let (name, new_name) = (component(name)?, component(new_name)?);
        renameat_with(fd, name, to, new_name, RenameFlags::NOREPLACE)
            .map_err(failed(named("rename", name)))
    }

    /// Sets attributes of a node.
    pub fn set_entry_attributes(
        &self,
        name: &[u8],
        changes: &AttributeChanges,
    ) -> Result<(), Failure> {
        let fd = self.writable()?.fd();
        attributes::set(At::At(fd, component(name)?), changes)
    }

    /// Gives a node the extended attributes of another.
    pub fn copy_xattrs(
        &self,
        name: &[u8],
        original: &Self,
        original_name: &[u8],
    ) -> Result<(), Failure> {
        let from = At::At(original.fd(), component(original_name)?);
        attributes::copy(from, At::At(self.writable()?.fd(), component(name)?))
    }

    /// Gives the directory the extended attributes of another.
    pub fn copy_own_xattrs(&self, original: &Self) -> Result<(), Failure> {
        attributes::copy(At::Open(original.fd()), At::Open(self.writable()?.fd()))
    }

    /// Removes the directory's own extended attributes.
    pub fn clear_own_xattrs(&self) -> Result<(), Failure> {
        attributes::clear(self.writable()?.fd())
    }

    /// Removes a name that is not a directory.
    pub fn remove_file(&self, name: &[u8]) -> Result<(), Failure> {
        let (fd, name) = (self.writable()?.fd(), component(name)?);
        unlinkat(fd, name, AtFlags::empty()).map_err(failed(named("remove file", name)))
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, name: &[u8]) -> Result<(), Failure> {
        let (fd, name) = (self.writable()?.fd(), component(name)?);
        unlinkat(fd, name, AtFlags::REMOVEDIR).map_err(failed(named("remove directory", name)))
    }

    /// Removes a name with all that lies below it.
    pub fn remove_tree(&self, name: &[u8]) -> Result<(), Failure> {
        let name = component(name)?;
        match self.remove_file(name) {
            Err(failure) if failure.code == Code::IsADirectory => {}
            removed => return removed,
        }
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let path = Path::new(&link).join(OsStr::from_bytes(name));
        fs::remove_dir_all(path).map_err(failed(named("remove tree", name)))
    }
}

/// The entries of one directory, page by page.
#[derive(Debug)]
pub struct Listing {
    directory: Directory,
    names: RefCell<IntoIter<Vec<u8>>>,
    wanted: Vec<String>,
}

impl Listing {
    /// The next entries in byte order of their names; empty at the end.
    pub fn next(&self) -> Result<Vec<Entry>, Failure> {
        let mut names = self.names.borrow_mut();
        let mut page = Vec::with_capacity(names.len().min(PAGE));
        while page.len() < PAGE {
            let Some(name) = names.next() else { break };
            match self.directory.stat(&name, &self.wanted) {
                // It went meanwhile.
                Err(failure) if failure.code == Code::NotFound => {}
                entry => page.push(entry?),
            }
        }
        Ok(page)
    }
}
