//! Prints a tree, one line a node: what the tests compare.
//!
//! `/etc/passwd f 0644 0:0 1000.500000000 5:"root\n" x:user.a=b =/etc/shadow`: path, type, mode, owner, time of the
//! last change, then what the type has: size and content (or its fingerprint), target, device number; extended
//! attributes in order; and for a node with several names in the tree the first of them.
//!
//! Invariant: reads only, follows nothing, opens regular files alone.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::script::{fingerprint, quote};

/// One node of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Absolute path within the tree.
    pub path: Vec<u8>,
    /// The verb that [`tree`](crate::tree) makes it with.
    pub kind: char,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Time of the last change in seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Content, target or device number, as printed.
    pub body: String,
    /// Extended attributes as printed, in order.
    pub xattrs: String,
    /// The first path of the same node, if that is another one; `None` for a node with one name in the tree.
    pub same_as: Option<Vec<u8>>,
    /// Bytes of content.
    pub size: u64,
}

impl Node {
    /// The line of the node.
    pub fn line(&self) -> String {
        let link = self
            .same_as
            .as_ref()
            .map(|path| format!(" ={}", quote(path)))
            .unwrap_or_default();
        let (uid, gid) = self.owner;
        let (seconds, nanoseconds) = self.modified;
        let (path, kind, mode) = (quote(&self.path), self.kind, self.mode);
        format!(
            "{path} {kind} {mode:04o} {uid}:{gid} {seconds}.{nanoseconds:09} {}{}{link}",
            self.body, self.xattrs
        )
    }
}

/// Reads the tree at `root` in byte order of the paths; the root is `/`.
///
/// # Panics
/// If it cannot be read.
pub fn nodes(root: &Path) -> Vec<Node> {
    try_nodes(root).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Reads the tree at `root` in byte order of the paths; the root is `/`.
///
/// # Errors
/// What could not be read, and why.
pub fn try_nodes(root: &Path) -> Result<Vec<Node>> {
    let mut paths = vec![(b"/".to_vec(), root.to_owned())];
    collect(root, b"/", &mut paths)?;
    paths.sort();
    let mut names: HashMap<(u64, u64), usize> = HashMap::new();
    let identities = paths.iter().map(|(_, at)| identity(at));
    let identities = identities.collect::<Result<Vec<_>>>()?;
    for identity in identities.iter().flatten() {
        *names.entry(*identity).or_default() += 1;
    }
    let mut first: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut nodes = Vec::new();
    for ((path, at), identity) in paths.into_iter().zip(identities) {
        let identity = identity.filter(|identity| names[identity] > 1);
        let same_as = identity.map(|identity| {
            first
                .entry(identity)
                .or_insert_with(|| path.clone())
                .clone()
        });
        nodes.push(node(path, &at, same_as)?);
    }
    Ok(nodes)
}

/// The dump of the tree at `root`.
pub fn dump(root: &Path) -> String {
    print(&nodes(root))
}

/// Prints nodes.
pub fn print(nodes: &[Node]) -> String {
    nodes.iter().map(|node| node.line() + "\n").collect()
}

/// The same tree after a journey through an archive: no sockets, and no time for the root.
pub fn as_archived(nodes: &[Node]) -> Vec<Node> {
    let mut nodes = as_layered(nodes);
    nodes.retain(|node| node.kind != 's');
    nodes
}

/// The nodes as a layer shows them: the time of its root is its own.
pub fn as_layered(nodes: &[Node]) -> Vec<Node> {
    let mut nodes = nodes.to_vec();
    if let Some(root) = nodes.iter_mut().find(|node| node.path == b"/") {
        root.modified = (0, 0);
    }
    nodes
}

fn collect(at: &Path, path: &[u8], found: &mut Vec<(Vec<u8>, PathBuf)>) -> Result<()> {
    let doing = || format!("list {}", at.display());
    for entry in fs::read_dir(at).with_context(doing)? {
        let entry = entry.with_context(doing)?;
        let mut below = path.to_vec();
        if !below.ends_with(b"/") {
            below.push(b'/');
        }
        below.extend_from_slice(entry.file_name().as_bytes());
        if entry.file_type().with_context(doing)?.is_dir() {
            collect(&entry.path(), &below, found)?;
        }
        found.push((below, entry.path()));
    }
    Ok(())
}

fn stat(at: &Path) -> Result<fs::Metadata> {
    fs::symlink_metadata(at).with_context(|| format!("stat {}", at.display()))
}

/// What tells two names of one node from two nodes; directories have one name only.
fn identity(at: &Path) -> Result<Option<(u64, u64)>> {
    let metadata = stat(at)?;
    let has_more = !metadata.is_dir() && metadata.nlink() > 1;
    Ok(has_more.then(|| (metadata.dev(), metadata.ino())))
}

fn node(path: Vec<u8>, at: &Path, same_as: Option<Vec<u8>>) -> Result<Node> {
    let metadata = stat(at)?;
    let file_type = metadata.file_type();
    let device = || {
        let number = metadata.rdev();
        format!(
            "{}:{}",
            rustix::fs::major(number),
            rustix::fs::minor(number)
        )
    };
    let (kind, body) = match () {
        () if file_type.is_dir() => ('d', String::new()),
        () if file_type.is_symlink() => {
            let target =
                fs::read_link(at).with_context(|| format!("read the link {}", at.display()))?;
            ('l', format!("->{}", quote(target.as_os_str().as_bytes())))
        }
        () if file_type.is_fifo() => ('p', String::new()),
        () if file_type.is_socket() => ('s', String::new()),
        () if file_type.is_char_device() => ('c', device()),
        () if file_type.is_block_device() => ('b', device()),
        () => ('f', content(at)?),
    };
    Ok(Node {
        path,
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        body,
        xattrs: xattrs(at)?,
        same_as,
        size: if file_type.is_file() {
            metadata.size()
        } else {
            0
        },
    })
}

fn content(at: &Path) -> Result<String> {
    let content = fs::read(at).with_context(|| format!("read {}", at.display()))?;
    if content.len() > 48 {
        return Ok(format!("{}:{:016x}", content.len(), fingerprint(&content)));
    }
    Ok(format!("{}:\"{}\"", content.len(), content.escape_ascii()))
}

fn xattrs(at: &Path) -> Result<String> {
    let mut printed = String::new();
    for name in try_xattr_names(at)? {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(at, &name[..], &mut value[..])
            .with_context(|| format!("read an attribute of {}", at.display()))?;
        value.truncate(length);
        let value = if length > 64 {
            format!("{length}:{:016x}", fingerprint(&value))
        } else {
            quote(&value)
        };
        printed.push_str(&format!(" x:{}={value}", quote(&name)));
    }
    Ok(printed)
}

/// The names of a node's extended attributes, in order.
///
/// # Panics
/// If they cannot be read.
pub fn xattr_names(at: &Path) -> Vec<Vec<u8>> {
    try_xattr_names(at).unwrap_or_else(|error| panic!("{error:#}"))
}

fn try_xattr_names(at: &Path) -> Result<Vec<Vec<u8>>> {
    let mut buffer = vec![0; 65536];
    let length = match rustix::fs::llistxattr(at, &mut buffer[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => {
            return Err(error).with_context(|| format!("list attributes of {}", at.display()));
        }
    };
    let names = buffer[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.sort();
    Ok(names)
}
