//! Layers as tar archives: what an entry is, how it is written and how it is read.
//!
//! The format is POSIX ustar with PAX records where ustar has no room; GNU's long names and numbers are read too.
//! Written archives depend on the entries alone: no clock, no process id, no user names.
//!
//! Invariant: no content of a file passes through here; the host moves it between file and stream.

pub mod acl;
mod decode;
pub mod header;
pub mod moby;
pub mod name;
pub mod number;
#[cfg(test)]
mod oracle;
pub mod pax;
pub mod reader;
pub mod sparse;
pub mod whiteout;
pub mod writer;

use crate::{Timestamp, Xattr};

/// Bytes of a tar block: everything in an archive is a multiple of it.
pub const BLOCK_BYTES: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A further name of an entry before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The path as written in the archive; in `Writer` without a trailing slash.
    pub name: Vec<u8>,
    /// The target of a hard or symbolic link as written in the archive, else empty.
    pub link: Vec<u8>,
    /// Permission bits: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The size that the header gives, in bytes; of a sparse file that of the whole. Only a regular file has content.
    pub size: u64,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Major and minor number of a device, else zeros.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// Bytes that fill content of this size up to a whole block.
pub(crate) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK_BYTES as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK_BYTES - over }
}
