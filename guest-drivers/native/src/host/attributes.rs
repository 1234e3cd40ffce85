//! Attributes and extended attributes, in and out.
//!
//! Invariant: what a driver may set is what the host lets it set.

use super::directory::{AttributeChanges, Attributes, Entry, NodeKind, Timestamp, Xattr};
use super::{failed, refused};
use crate::mica::host::types::{Code, Failure};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, futimens, lgetxattr,
    llistxattr, lsetxattr, major, minor, statat, utimensat,
};
use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The longest value and the longest list of names that the kernel gives.
const XATTR_BYTES: usize = 64 << 10;
/// What is tried first: most nodes have no attribute at all, or a short one.
const FIRST_BYTES: usize = 512;
/// Most names and prefixes that one listing asks for.
const MAX_WANTED: usize = 16;

/// A node that attributes are read from or set on.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// What a descriptor refers to.
    Open(BorrowedFd<'a>),
    /// A name in a directory; a symbolic link is itself.
    At(BorrowedFd<'a>, &'a [u8]),
}

impl Node<'_> {
    pub(super) fn stat(self) -> Result<Stat, Errno> {
        match self {
            Self::Open(fd) => fstat(fd),
            Self::At(dir, name) => statat(dir, name, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// The node by the magic link of its directory's descriptor, for the calls that take a path.
    fn path(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }

    fn list(self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut call = grown(|buffer| match self {
            Self::Open(fd) => flistxattr(fd, buffer),
            Self::At(dir, name) => llistxattr(Self::path(dir, name), buffer),
        });
        if matches!(call, Err(Errno::OPNOTSUPP)) {
            call = Ok(Vec::new());
        }
        let names = call?;
        let names = names.split(|byte| *byte == 0);
        let names = names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
        Ok(names.collect())
    }

    pub(super) fn get(self, key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let call = grown(|buffer| match self {
            Self::Open(fd) => fgetxattr(fd, key, buffer),
            Self::At(dir, name) => lgetxattr(Self::path(dir, name), key, buffer),
        });
        match call {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            call => call.map(Some),
        }
    }

    pub(super) fn put(self, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fsetxattr(fd, key, value, XattrFlags::empty()),
            Self::At(dir, name) => {
                lsetxattr(Self::path(dir, name), key, value, XattrFlags::empty())
            }
        }
    }
}

/// Calls with a small buffer, and with the largest where that does not do.
fn grown(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; FIRST_BYTES];
    let filled = match call(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(XATTR_BYTES, 0);
            call(&mut buffer)?
        }
        filled => filled?,
    };
    buffer.truncate(filled);
    Ok(buffer)
}

/// Reads a node with the extended attributes that are wanted.
pub(super) fn entry(of: Node<'_>, wanted: &[String]) -> Result<Entry, Failure> {
    check_wanted(wanted)?;
    let attributes = attributes(&of.stat().map_err(failed("read attributes"))?);
    let mut xattrs = Vec::new();
    if !wanted.is_empty() && attributes.kind != NodeKind::Symlink {
        for name in of.list().map_err(failed("list extended attributes"))? {
            if !is_wanted(&name, wanted) {
                continue;
            }
            let value = of.get(&name).map_err(failed("read extended attribute"))?;
            xattrs.extend(value.map(|value| Xattr { name, value }));
        }
        xattrs.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let name = match of {
        Node::Open(_) => Vec::new(),
        Node::At(_, name) => name.to_vec(),
    };
    Ok(Entry {
        name,
        attributes,
        xattrs,
    })
}

pub(super) fn check_wanted(wanted: &[String]) -> Result<(), Failure> {
    if wanted.len() <= MAX_WANTED {
        return Ok(());
    }
    let text = format!(
        "{} extended attributes are wanted; {MAX_WANTED} can be",
        wanted.len()
    );
    Err(refused(Code::Invalid, text))
}

fn is_wanted(name: &[u8], wanted: &[String]) -> bool {
    let mut wanted = wanted.iter().map(String::as_bytes);
    wanted.any(|wanted| name == wanted || (wanted.ends_with(b".") && name.starts_with(wanted)))
}

/// The kernel's numbers as the contract has them.
pub(super) fn attributes(from: &Stat) -> Attributes {
    let kind = match FileType::from_raw_mode(from.st_mode) {
        FileType::Directory => NodeKind::Directory,
        FileType::Symlink => NodeKind::Symlink,
        FileType::BlockDevice => NodeKind::BlockDevice,
        FileType::CharacterDevice => NodeKind::CharacterDevice,
        FileType::Fifo => NodeKind::Fifo,
        FileType::Socket => NodeKind::Socket,
        FileType::RegularFile | FileType::Unknown => NodeKind::Regular,
    };
    let is_device = matches!(kind, NodeKind::BlockDevice | NodeKind::CharacterDevice);
    let device = |number: u32| if is_device { number } else { 0 };
    Attributes {
        kind,
        mode: from.st_mode & 0o7777,
        uid: from.st_uid,
        gid: from.st_gid,
        size: u64::try_from(from.st_size).unwrap_or(0),
        links: u32::try_from(from.st_nlink).unwrap_or(u32::MAX),
        inode: from.st_ino,
        device: from.st_dev,
        major: device(major(from.st_rdev)),
        minor: device(minor(from.st_rdev)),
        modified: timestamp(from.st_mtime, from.st_mtime_nsec),
        changed: timestamp(from.st_ctime, from.st_ctime_nsec),
    }
}

/// A time in the widths that the platform has.
fn timestamp(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<u32>) -> Timestamp {
    Timestamp {
        seconds: seconds.try_into().unwrap_or(0),
        nanoseconds: nanoseconds.try_into().unwrap_or(0),
    }
}

/// Sets what is given, in an order in which nothing undoes another.
pub(super) fn set(on: Node<'_>, changes: &AttributeChanges) -> Result<(), Failure> {
    check(changes)?;
    if let Some(owner) = changes.owner {
        let (uid, gid) = (
            Some(Uid::from_raw(owner.uid)),
            Some(Gid::from_raw(owner.gid)),
        );
        match on {
            Node::Open(fd) => fchown(fd, uid, gid),
            Node::At(dir, name) => chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        }
        .map_err(failed("set owner"))?;
    }
    for Xattr { name, value } in &changes.xattrs {
        let shown = name.escape_ascii();
        on.put(name, value)
            .map_err(failed(format!("set extended attribute `{shown}`")))?;
    }
    if let Some(mode) = changes.mode {
        set_mode(on, mode)?;
    }
    let Some(time) = changes.modified else {
        return Ok(());
    };
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    match on {
        Node::Open(fd) => futimens(fd, &times),
        Node::At(dir, name) => utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW),
    }
    .map_err(failed("set time"))
}

fn set_mode(on: Node<'_>, mode: u32) -> Result<(), Failure> {
    let bits = Mode::from_raw_mode(mode);
    match on {
        Node::Open(fd) => fchmod(fd, bits),
        // The call follows links, which have no mode.
        Node::At(dir, name) => match on
            .stat()
            .map(|found| FileType::from_raw_mode(found.st_mode))
        {
            Ok(FileType::Symlink) => Ok(()),
            Ok(_) => chmodat(dir, name, bits, AtFlags::empty()),
            Err(error) => Err(error),
        },
    }
    .map_err(failed("set mode"))
}

fn check(changes: &AttributeChanges) -> Result<(), Failure> {
    if let Some(mode) = changes.mode {
        check_mode(mode)?;
    }
    let nanoseconds = changes.modified.map_or(0, |time| time.nanoseconds);
    if nanoseconds > 999_999_999 {
        return Err(refused(Code::Invalid, "nanoseconds are 0 to 999,999,999"));
    }
    let is_no_one = |id: u32| id == u32::MAX;
    if changes
        .owner
        .is_some_and(|owner| is_no_one(owner.uid) || is_no_one(owner.gid))
    {
        return Err(refused(Code::Invalid, format!("{} is no owner", u32::MAX)));
    }
    let mut xattrs = changes.xattrs.iter();
    match xattrs.find(|xattr| !may_set(&xattr.name)) {
        Some(xattr) => {
            let name = xattr.name.escape_ascii();
            let text = format!("extended attribute `{name}` may not be set by a driver");
            Err(refused(Code::Denied, text))
        }
        None => Ok(()),
    }
}

/// Permission bits and nothing else.
pub(super) fn check_mode(mode: u32) -> Result<(), Failure> {
    match mode {
        0..=0o7777 => Ok(()),
        _ => Err(refused(
            Code::Invalid,
            format!("mode {mode:o} has bits beyond 7777"),
        )),
    }
}

fn may_set(name: &[u8]) -> bool {
    let user = name.starts_with(b"user.") && name.len() > 5 && !name.starts_with(b"user.overlay.");
    let content: [&[u8]; 3] = [
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ];
    (user || content.contains(&name)) && !name.contains(&0)
}

/// Overlayfs' own marks are no attributes of a layer.
fn is_mark(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Whether an attribute is that of a security module.
fn is_label(name: &[u8]) -> bool {
    name.starts_with(b"security.") && name != b"security.capability"
}

/// Gives a node the extended attributes of another.
pub(super) fn copy(from: Node<'_>, to: Node<'_>) -> Result<(), Failure> {
    for name in from.list().map_err(failed("list extended attributes"))? {
        let doing = || format!("copy extended attribute `{}`", name.escape_ascii());
        let value = from.get(&name).map_err(failed(doing()))?;
        let Some(value) = value.filter(|_| !is_mark(&name)) else {
            continue;
        };
        match to.put(&name, &value) {
            // A label is the file system's to give where it is mounted with a context, or where a test is not root.
            Err(Errno::OPNOTSUPP | Errno::PERM) if is_label(&name) => {}
            done => done.map_err(failed(doing()))?,
        }
    }
    Ok(())
}

/// Removes a directory's extended attributes.
pub(super) fn clear(directory: BorrowedFd<'_>) -> Result<(), Failure> {
    let names = Node::Open(directory).list();
    for name in names.map_err(failed("list extended attributes"))? {
        if !is_mark(&name) && !is_label(&name) {
            fremovexattr(directory, name).map_err(failed("remove extended attributes"))?;
        }
    }
    Ok(())
}
