//! Attributes and extended attributes, in and out.
//!
//! Invariant: the only place that decides which extended attributes a driver may set.

use super::HostResult;
use super::directory::Directory;
use super::errno::TooMuch;
use super::file::File;
use crate::bindings::mica::host::directory::{
    AttributeChanges, Attributes, Entry, NodeKind, Timestamp, Xattr,
};
use crate::{Code, Failure, Limits};
use mica_sys::node::{self, Kind};
use mica_sys::{Name, xattr};
use std::io;
use std::os::fd::BorrowedFd;

/// Most names and prefixes that one listing asks for.
const MAX_WANTED_NAMES: usize = 16;

/// A node that attributes are read from or set on.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// What an open descriptor refers to.
    Open(BorrowedFd<'a>),
    /// A name in a directory; a symbolic link is itself.
    At(BorrowedFd<'a>, &'a Name),
}

/// A node whose attributes may be set: the right is there, and nothing else has the node.
#[derive(Clone, Copy)]
pub(super) struct Changeable<'a>(Node<'a>);

impl<'a> Changeable<'a> {
    /// An open directory, which belongs to one tree always.
    pub(super) fn directory(directory: &'a Directory) -> Result<Self, Failure> {
        Ok(Self(Node::Open(directory.writable()?.fd())))
    }

    /// A file that was made here.
    pub(super) fn file(file: &'a File) -> Result<Self, Failure> {
        Ok(Self(Node::Open(file.writable()?.fd())))
    }

    /// A name in a directory. A node that something else has too is replaced by a copy first.
    pub(super) fn entry(directory: &'a Directory, name: &'a Name) -> Result<Self, Failure> {
        let fd = directory.writable()?.fd();
        let failed = |error| {
            let shown = name.as_bytes().escape_ascii();
            Failure::from_io(format!("copy `{shown}` before it is changed"), &error)
        };
        directory.own(name).map_err(failed)?;
        Ok(Self(Node::At(fd, name)))
    }
}

/// Extended attributes to read along: full names, and prefixes that end in a dot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    names: Vec<Vec<u8>>,
    prefixes: Vec<Vec<u8>>,
    /// Bytes that those of one node may have.
    most_bytes: usize,
}

impl Wanted {
    pub(super) fn parse(wanted: Vec<String>, limits: &Limits) -> Result<Self, Failure> {
        if wanted.len() > MAX_WANTED_NAMES {
            let text = format!(
                "{} extended attributes are wanted; {MAX_WANTED_NAMES} can be",
                wanted.len()
            );
            return Err(Failure::new(Code::Invalid, text));
        }
        let (prefixes, names) = wanted
            .into_iter()
            .map(String::into_bytes)
            .partition(|name| name.ends_with(b"."));
        let most_bytes = limits.xattr_bytes;
        Ok(Self {
            names,
            prefixes,
            most_bytes,
        })
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.prefixes.is_empty()
    }

    fn matches(&self, name: &[u8]) -> bool {
        self.names.iter().any(|wanted| wanted == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// What an extended attribute costs beside its name and value.
pub(super) const XATTR_BYTES: usize = 32;

/// Reads the wanted extended attributes, in byte order of their names.
pub(super) fn read_xattrs(of: Node<'_>, kind: Kind, wanted: &Wanted) -> io::Result<Vec<Xattr>> {
    // Links can hold neither `user.*` nor an access list nor a capability that counts.
    if wanted.is_empty() || kind == Kind::Symlink {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut bytes = 0;
    for name in candidates(of, wanted)? {
        if let Some(value) = get(of, &name)? {
            bytes += name.len() + value.len() + XATTR_BYTES;
            if bytes > wanted.most_bytes {
                let most = wanted.most_bytes;
                let text =
                    format!("its extended attributes have more than {most} bytes: `xattr_bytes`");
                return Err(io::Error::other(TooMuch(text)));
            }
            found.push(Xattr { name, value });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// One name is asked for directly; for more, or for prefixes, the list is one call that is mostly empty.
fn candidates(of: Node<'_>, wanted: &Wanted) -> io::Result<Vec<Vec<u8>>> {
    if wanted.prefixes.is_empty() && wanted.names.len() == 1 {
        return Ok(wanted.names.clone());
    }
    Ok(list(of)?
        .into_iter()
        .filter(|name| wanted.matches(name))
        .map(Vec::from)
        .collect())
}

fn list(of: Node<'_>) -> io::Result<Vec<Box<[u8]>>> {
    match of {
        Node::Open(fd) => xattr::list_fd(fd),
        Node::At(dir, name) => xattr::list(dir, name),
    }
}

fn get(of: Node<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match of {
        Node::Open(fd) => xattr::get_fd(fd, name),
        Node::At(dir, at) => xattr::get(dir, at, name),
    }
}

fn put(on: Node<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    match on {
        Node::Open(fd) => xattr::set_fd(fd, name, value),
        Node::At(dir, at) => xattr::set(dir, at, name, value),
    }
}

/// Gives a node the extended attributes of another.
pub(super) fn copy_xattrs(from: Node<'_>, to: Node<'_>) -> Result<(), Failure> {
    let failed = |name: &[u8], error: io::Error| {
        let doing = format!("copy extended attribute `{}`", name.escape_ascii());
        Failure::from_io(doing, &error)
    };
    for name in list(from).map_err(|error| Failure::from_io("list extended attributes", &error))? {
        let value = get(from, &name).map_err(|error| failed(&name, error))?;
        let Some(value) = value.filter(|_| is_copied(&name)) else {
            continue;
        };
        match put(to, &name, &value) {
            // Mounted with a context, a file system gives all its nodes one label and lets no one set another.
            Err(error) if error.kind() == io::ErrorKind::Unsupported && is_label(&name) => {}
            done => done.map_err(|error| failed(&name, error))?,
        }
    }
    Ok(())
}

/// Removes the extended attributes of a directory.
pub(super) fn clear_xattrs(directory: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::from_io("remove extended attributes", &error);
    for name in xattr::list_fd(directory).map_err(failed)? {
        if is_copied(&name) && !is_label(&name) {
            xattr::remove_fd(directory, &name).map_err(failed)?;
        }
    }
    Ok(())
}

/// What overlayfs writes down for itself would mean something else in another layer.
fn is_copied(name: &[u8]) -> bool {
    !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
}

/// Whether an attribute is that of a security module.
fn is_label(name: &[u8]) -> bool {
    name.starts_with(b"security.") && name != b"security.capability"
}

/// The attributes as the contract has them.
pub(super) fn attributes(from: &node::Attributes) -> Attributes {
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
        modified: timestamp(from.modified),
        changed: timestamp(from.changed),
    }
}

pub(super) fn timestamp(from: node::Timestamp) -> Timestamp {
    Timestamp {
        seconds: from.seconds,
        nanoseconds: from.nanoseconds,
    }
}

/// Reads one name with its attributes.
pub(super) fn entry(directory: &Directory, name: &Name, wanted: &Wanted) -> io::Result<Entry> {
    let found = node::stat(directory.fd(), name)?;
    let xattrs = read_xattrs(Node::At(directory.fd(), name), found.kind, wanted)?;
    Ok(Entry {
        name: name.as_bytes().to_vec(),
        attributes: attributes(&found),
        xattrs,
    })
}

/// Sets what is given, in an order in which nothing undoes another: a change of owner clears set-user-id bits and
/// capabilities, and every change but the last touches the times.
pub(super) fn set(on: Changeable<'_>, changes: &AttributeChanges) -> HostResult<()> {
    let Changeable(on) = on;
    check(changes)?;
    let failed = |what: &str, error: io::Error| Failure::from_io(what, &error);
    if let Some(owner) = changes.owner {
        match on {
            Node::Open(fd) => node::settle_owner(fd, owner.uid, owner.gid),
            Node::At(dir, name) => node::set_owner(dir, name, owner.uid, owner.gid),
        }
        .map_err(|error| failed("set owner", error))?;
    }
    for Xattr { name, value } in &changes.xattrs {
        put(on, name, value).map_err(|error| {
            failed(
                &format!("set extended attribute `{}`", name.escape_ascii()),
                error,
            )
        })?;
    }
    if let Some(mode) = changes.mode {
        let done = match on {
            Node::Open(fd) => node::set_mode_fd(fd, mode),
            Node::At(dir, name) => node::set_mode(dir, name, mode),
        };
        // Symbolic links have no mode; the kernel says so, and so does the contract.
        done.or_else(|error| {
            if error.kind() == io::ErrorKind::Unsupported {
                Ok(())
            } else {
                Err(error)
            }
        })
        .map_err(|error| failed("set mode", error))?;
    }
    if let Some(time) = changes.modified {
        let time = node::Timestamp {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        };
        match on {
            Node::Open(fd) => node::set_modified_fd(fd, time),
            Node::At(dir, name) => node::set_modified(dir, name, time),
        }
        .map_err(|error| failed("set time", error))?;
    }
    Ok(())
}

fn check(changes: &AttributeChanges) -> Result<(), Failure> {
    if let Some(mode) = changes.mode {
        check_mode(mode)?;
    }
    if changes
        .modified
        .is_some_and(|time| time.nanoseconds > 999_999_999)
    {
        return Err(Failure::new(
            Code::Invalid,
            "nanoseconds are 0 to 999,999,999",
        ));
    }
    // -1 means "leave as it is" to the kernel: never what was asked for.
    if changes
        .owner
        .is_some_and(|owner| owner.uid == u32::MAX || owner.gid == u32::MAX)
    {
        return Err(Failure::new(
            Code::Invalid,
            format!("{} is no owner", u32::MAX),
        ));
    }
    match changes
        .xattrs
        .iter()
        .find(|attribute| !may_set(&attribute.name))
    {
        Some(refused) => {
            let text = format!(
                "extended attribute `{}` may not be set by a driver",
                refused.name.escape_ascii()
            );
            Err(Failure::new(Code::Denied, text))
        }
        None => Ok(()),
    }
}

/// Permission bits and nothing else.
pub(super) fn check_mode(mode: u32) -> Result<(), Failure> {
    if mode > 0o7777 {
        return Err(Failure::new(
            Code::Invalid,
            format!("mode {mode:o} has bits beyond 7777"),
        ));
    }
    Ok(())
}

/// `trusted.*` and `user.overlay.*` steer overlayfs, `security.*` the kernel: only file capabilities are content, and
/// access lists, which give no more than a mode could.
fn may_set(name: &[u8]) -> bool {
    let user = name.starts_with(b"user.") && name.len() > 5 && !name.starts_with(b"user.overlay.");
    let content: [&[u8]; 3] = [
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ];
    (user || content.contains(&name)) && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_control_attributes_are_never_set() {
        for (name, allowed) in [
            ("user.comment", true),
            ("security.capability", true),
            ("user.", false),
            ("user.overlay.opaque", false),
            ("trusted.overlay.redirect", false),
            ("security.selinux", false),
            ("system.posix_acl_access", true),
            ("system.posix_acl_access2", false),
            ("system.nfs4_acl", false),
            ("USER.x", false),
        ] {
            assert_eq!(may_set(name.as_bytes()), allowed, "{name}");
        }
    }

    #[test]
    fn a_copy_has_all_but_the_marks_of_overlayfs() {
        for (name, copied) in [
            ("user.comment", true),
            ("trusted.md5", true),
            ("security.selinux", true),
            ("system.posix_acl_access", true),
            ("trusted.overlay.opaque", false),
            ("user.overlay.origin", false),
        ] {
            assert_eq!(is_copied(name.as_bytes()), copied, "{name}");
        }
    }

    #[test]
    fn prefixes_end_in_a_dot() {
        let wanted = Wanted::parse(
            vec!["user.".into(), "security.capability".into()],
            &Limits::default(),
        )
        .unwrap();
        assert!(wanted.matches(b"user.a") && wanted.matches(b"security.capability"));
        assert!(!wanted.matches(b"security.capability2") && !wanted.matches(b"trusted.a"));
    }
}
