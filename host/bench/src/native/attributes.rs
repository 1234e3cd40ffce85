//! Attributes by system calls, in the host's order.
//!
//! Invariant: as many calls as the host makes.

use mica_sdk::{AttributeChanges, Attributes, Entry, NodeKind, Timestamp, Xattr};
use mica_sys::node::{self, Kind};
use mica_sys::{Name, xattr};
use std::io;
use std::os::fd::BorrowedFd;

/// What is to be set, borrowed.
pub(super) struct Changes<'a>(&'a AttributeChanges);

/// Borrows what is to be set.
pub(super) fn changes_of(changes: &AttributeChanges) -> Changes<'_> {
    Changes(changes)
}

/// Reads one name.
pub(super) fn entry(dir: BorrowedFd<'_>, name: &Name, wanted: &[String]) -> io::Result<Entry> {
    let found = node::stat(dir, name)?;
    let mut xattrs = Vec::new();
    if !wanted.is_empty() && matches!(found.kind, Kind::Regular | Kind::Directory) {
        for key in xattr::list(dir, name)?
            .iter()
            .filter(|key| is_wanted(key, wanted))
        {
            if let Some(value) = xattr::get(dir, name, key)? {
                xattrs.push(Xattr {
                    name: key.to_vec(),
                    value,
                });
            }
        }
    }
    Ok(Entry {
        name: name.as_bytes().to_vec(),
        attributes: attributes(&found),
        xattrs,
    })
}

/// Reads an open directory's own.
pub(super) fn own_entry(fd: BorrowedFd<'_>, wanted: &[String]) -> io::Result<Entry> {
    let found = node::stat_fd(fd)?;
    let mut xattrs = Vec::new();
    if !wanted.is_empty() {
        for key in xattr::list_fd(fd)?
            .iter()
            .filter(|key| is_wanted(key, wanted))
        {
            if let Some(value) = xattr::get_fd(fd, key)? {
                xattrs.push(Xattr {
                    name: key.to_vec(),
                    value,
                });
            }
        }
    }
    Ok(Entry {
        name: Vec::new(),
        attributes: attributes(&found),
        xattrs,
    })
}

fn is_wanted(key: &[u8], wanted: &[String]) -> bool {
    wanted.iter().any(|wanted| {
        let wanted = wanted.as_bytes();
        key == wanted || (wanted.ends_with(b".") && key.starts_with(wanted))
    })
}

fn attributes(from: &node::Attributes) -> Attributes {
    let time = |time: node::Timestamp| Timestamp {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    };
    Attributes {
        kind: match from.kind {
            Kind::Regular => NodeKind::Regular,
            Kind::Directory => NodeKind::Directory,
            Kind::Symlink => NodeKind::Symlink,
            Kind::BlockDevice => NodeKind::BlockDevice,
            Kind::CharacterDevice => NodeKind::CharacterDevice,
            Kind::Fifo => NodeKind::Fifo,
            Kind::Socket => NodeKind::Socket,
        },
        mode: from.mode,
        uid: from.uid,
        gid: from.gid,
        size: from.size,
        links: from.links,
        inode: from.inode,
        device: from.device,
        major: from.major,
        minor: from.minor,
        modified: time(from.modified),
        changed: time(from.changed),
    }
}

/// Sets what is given on a name.
pub(super) fn set(
    dir: BorrowedFd<'_>,
    name: &Name,
    Changes(changes): &Changes<'_>,
) -> io::Result<()> {
    if let Some(owner) = changes.owner {
        node::set_owner(dir, name, owner.uid, owner.gid)?;
    }
    for found in &changes.xattrs {
        xattr::set(dir, name, &found.name, &found.value)?;
    }
    if let Some(mode) = changes.mode {
        node::set_mode(dir, name, mode)?;
    }
    match changes.modified {
        Some(modified) => node::set_modified(dir, name, time(modified)),
        None => Ok(()),
    }
}

/// Sets what is given on an open file or directory.
pub(super) fn set_fd(fd: BorrowedFd<'_>, Changes(changes): &Changes<'_>) -> io::Result<()> {
    if let Some(owner) = changes.owner {
        node::set_owner_fd(fd, owner.uid, owner.gid)?;
    }
    for found in &changes.xattrs {
        xattr::set_fd(fd, &found.name, &found.value)?;
    }
    if let Some(mode) = changes.mode {
        node::set_mode_fd(fd, mode)?;
    }
    match changes.modified {
        Some(modified) => node::set_modified_fd(fd, time(modified)),
        None => Ok(()),
    }
}

fn time(from: Timestamp) -> node::Timestamp {
    node::Timestamp {
        seconds: from.seconds,
        nanoseconds: from.nanoseconds,
    }
}
