//! One node of a tree with everything that a layer must keep of it.
//!
//! Invariant: symbolic links are never followed; the content of regular files is not here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};

/// Bytes that a list or value of xattrs may have: the kernel's limit.
const XATTR_BYTES: usize = 64 * 1024;

/// A node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    /// Bytes of a regular file.
    size: Option<u64>,
    device: Option<u64>,
    target: Option<OsString>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    /// Reads a node.
    pub(crate) fn read(path: &Path) -> io::Result<(Self, Metadata)> {
        let found = path.symlink_metadata()?;
        let kind = found.file_type();
        let is_device = kind.is_block_device() || kind.is_char_device();
        let node = Self {
            kind: kind_word(&found),
            mode: found.mode() & 0o7777,
            owner: (found.uid(), found.gid()),
            modified: (found.mtime(), found.mtime_nsec()),
            size: kind.is_file().then(|| found.size()),
            device: is_device.then(|| found.rdev()),
            target: if kind.is_symlink() {
                Some(path.read_link()?.into_os_string())
            } else {
                None
            },
            xattrs: xattrs(path)?,
        };
        Ok((node, found))
    }

    /// The node as an archive of its layer tells it: no archive has the top itself, whose time is its layer's own.
    pub(crate) fn without_time(self) -> Self {
        Self {
            modified: (0, 0),
            ..self
        }
    }

    /// Which part differs, with both values; `None` if none does.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let differ = |name: &str, one: String, two: String| {
            (one != two).then(|| format!("{name}: {one} and {two}"))
        };
        let names = |node: &Self| {
            format!(
                "{:?}",
                node.xattrs
                    .keys()
                    .map(|key| String::from_utf8_lossy(key))
                    .collect::<Vec<_>>()
            )
        };
        differ("type", self.kind.to_owned(), other.kind.to_owned())
            .or_else(|| {
                differ(
                    "mode",
                    format!("{:04o}", self.mode),
                    format!("{:04o}", other.mode),
                )
            })
            .or_else(|| {
                differ(
                    "owner",
                    format!("{:?}", self.owner),
                    format!("{:?}", other.owner),
                )
            })
            .or_else(|| {
                differ(
                    "size",
                    format!("{:?}", self.size),
                    format!("{:?}", other.size),
                )
            })
            .or_else(|| differ("modification time", time(self), time(other)))
            .or_else(|| {
                differ(
                    "device",
                    format!("{:?}", self.device),
                    format!("{:?}", other.device),
                )
            })
            .or_else(|| {
                differ(
                    "link target",
                    format!("{:?}", self.target),
                    format!("{:?}", other.target),
                )
            })
            .or_else(|| differ("extended attributes", names(self), names(other)))
            .or_else(|| (self != other).then(|| "values of extended attributes".to_owned()))
    }
}

fn time(node: &Node) -> String {
    format!("{}.{:09}", node.modified.0, node.modified.1)
}

fn kind_word(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "symbolic link",
        () if kind.is_fifo() => "fifo",
        () if kind.is_char_device() => "character device",
        () if kind.is_block_device() => "block device",
        () => "socket",
    }
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut list = vec![0; XATTR_BYTES];
    let count = match llistxattr(path, list.as_mut_slice()) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        count => count?,
    };
    list.truncate(count);
    let mut found = BTreeMap::new();
    for name in list
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; XATTR_BYTES];
        let count = lgetxattr(
            path,
            std::ffi::OsStr::from_bytes(name),
            value.as_mut_slice(),
        )?;
        value.truncate(count);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}
