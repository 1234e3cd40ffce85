//! Writes an EROFS image whose file contents lie in a tar archive.
//!
//! The image holds names, attributes and directories; a regular file points into the archive, which the kernel is given
//! as a second device (`mount -t erofs -o device=layer.tar layer.erofs`). Members of an archive begin at multiples of
//! 512 bytes, so with blocks of that size no content is copied. The format is that of the kernel's
//! `fs/erofs/erofs_fs.h` and <https://erofs.docs.kernel.org/en/latest/ondisk/>; its parts that are written are:
//!
//! ```text
//!    0  zeros
//! 1024  superblock, 128 bytes
//! 1152  device slot, 128 bytes: SHA-256 of the archive as 64 hexadecimal digits, and its blocks
//! 1280  inodes in the order of a breadth-first walk, each at a multiple of 32 and followed by its extended attributes
//!       and by its chunk indexes, or the last bytes of its directory or target
//!    …  directories and targets that do not fit beside their inodes
//! ```
//!
//! A [`Tree`] is filled with the members of an archive in their order. [`Tree::settle`] decides what depends on the
//! layers below (directories that no member describes, deletions) and gives an [`Index`], which [`Index::write`] writes
//! in one pass from the beginning to the end. What EROFS or an index of this kind cannot hold is [`Unfit`], and so is
//! what only the layers below can tell; such an archive is to be unpacked instead.
//!
//! Deletions become what overlayfs takes for them: character devices 0:0, `trusted.overlay.opaque`, and
//! `trusted.overlay.origin` on directories with deletions, without which overlayfs lists the devices in a directory that
//! only one layer has.
//!
//! Invariant: the bytes depend on the members, the layers below and the archive's digest alone; no recursion, so the
//! depth of a tree does not matter.

#![no_std]

extern crate alloc;

mod checksum;
mod chunks;
mod directories;
mod format;
mod holds;
mod place;
mod settle;
#[cfg(test)]
mod tests;
mod tree;
mod write;
mod xattrs;

pub use place::Index;
pub use settle::{Below, Found, Unsettled};
pub use tree::{Attributes, Content, Data, Segment, Tree, Unfit, Xattr};
pub use write::Archive;
