//! What was in a layer's files: a list that lies beside the layer's record.
//!
//! ```text
//! mica-digests-2\n
//! 1 byte, 1 if the SHA-256 of a sealed layer's archive follows, else 0
//! how many bytes the name has of the directory that is left out, because it is the kernel's own; those
//! of each node, in the order of a walk: its kind, a number of bytes that its path shares with the one before, how many follow,
//!     those; 1 byte, 1 if mode, owner, group, major and minor number, the place of the first node that is the same file (from
//!     1, else 0) and a byte follow, which says whether BLAKE3 of the extended attributes follows; of files and links also size,
//!     seconds and nanoseconds of the last change, BLAKE3 of the content or target
//! 0xff, the number of nodes
//! 32 bytes: BLAKE3 of all before
//! ```
//!
//! Numbers are LEB128, times 8 and 4 bytes, least significant first. A list of 10,000 files takes about 600 KB. Version 1 had
//! neither owners nor a directory that is left out; its lists are taken anew.
//!
//! Invariant: a list is read only after its own digest was compared, so nothing in it is what a disk made of it.

use crate::disk::home::MOST_DIGEST_BYTES;
use mica_sys::node::{Kind, Timestamp};
use std::cmp::Ordering;
use std::io;

const MAGIC: &[u8] = b"mica-digests-2\n";
/// Of lists of the version before.
const EARLIER_MAGIC: &[u8] = b"mica-digests-1\n";
const END: u8 = 0xff;
/// Bytes of a digest.
const DIGEST: usize = 32;

/// A digest of content.
pub(crate) type Digest = [u8; DIGEST];

/// A node of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The names that lead to it from the layer's room, separated by slashes.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Not of what another file system is mounted on.
    pub(super) metadata: Option<Metadata>,
    /// Of files and symbolic links.
    pub(super) content: Option<Content>,
}

/// What else is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) major: u32,
    pub(super) minor: u32,
    /// The place in the walk, from 1, of the first node that is the same file; 0 if it is that itself.
    pub(super) same_as: u64,
    /// BLAKE3 of the extended attributes, if it has some.
    pub(super) attributes: Option<Digest>,
}

/// What is in a file, or where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    pub(super) digest: Digest,
}

impl Node {
    /// The order of a walk: names in byte order, a directory before what is in it.
    pub(super) fn order(path: &[u8], other: &[u8]) -> Ordering {
        // No name has a NUL byte, so a slash is less than any byte of one.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        path.iter().map(key).cmp(other.iter().map(key))
    }
}

/// A list that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    last: Vec<u8>,
    count: u64,
    most_bytes: usize,
}

impl Writer {
    /// Begins a list; of a sealed layer with the digest of its archive. A directory of the room is left out.
    pub(super) fn new(archive: Option<Digest>, left_out: Option<&[u8]>) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(u8::from(archive.is_some()));
        bytes.extend(archive.into_iter().flatten());
        let mut writer = Self {
            bytes,
            last: Vec::new(),
            count: 0,
            most_bytes: MOST_DIGEST_BYTES,
        };
        let left_out = left_out.unwrap_or_default();
        writer.number(left_out.len() as u64);
        writer.bytes.extend_from_slice(left_out);
        writer
    }

    /// Writes a node behind the others.
    ///
    /// # Errors
    /// `FileTooLarge` when the list has more bytes than it may have.
    pub(super) fn push(&mut self, node: &Node) -> io::Result<()> {
        let shared = self.last.iter().zip(&node.path);
        let shared = shared.take_while(|(one, other)| one == other).count();
        let rest = node.path.get(shared..).unwrap_or_default();
        self.bytes.push(code(node.kind));
        self.number(shared as u64);
        self.number(rest.len() as u64);
        self.bytes.extend_from_slice(rest);
        self.bytes.push(u8::from(node.metadata.is_some()));
        if let Some(metadata) = &node.metadata {
            self.metadata(metadata);
        }
        if let Some(content) = &node.content {
            self.number(content.size);
            self.bytes.extend(content.modified.seconds.to_le_bytes());
            self.bytes
                .extend(content.modified.nanoseconds.to_le_bytes());
            self.bytes.extend(content.digest);
        }
        self.last.clone_from(&node.path);
        self.count += 1;
        match self.bytes.len() <= self.most_bytes {
            true => Ok(()),
            false => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        let Metadata {
            mode,
            uid,
            gid,
            major,
            minor,
            same_as,
            attributes,
        } = *metadata;
        for number in [mode, uid, gid, major, minor] {
            self.number(u64::from(number));
        }
        self.number(same_as);
        self.bytes.push(u8::from(attributes.is_some()));
        self.bytes.extend(attributes.into_iter().flatten());
    }

    /// The whole list.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(END);
        self.number(self.count);
        let sum = blake3::hash(&self.bytes);
        self.bytes.extend(sum.as_bytes());
        self.bytes
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }
}

/// A list that was read.
#[derive(Debug)]
pub(crate) struct Digests {
    /// Of the archive of a sealed layer.
    pub(super) archive: Option<Digest>,
    /// The directory of the room that is left out.
    pub(super) left_out: Option<Vec<u8>>,
    bytes: Vec<u8>,
    /// Where the nodes begin.
    nodes: usize,
}

impl Digests {
    /// Whether this is a list of the version before, which has too little for anyone.
    pub(super) fn is_earlier(bytes: &[u8]) -> bool {
        bytes.starts_with(EARLIER_MAGIC)
    }

    /// Takes a list if it is what was written.
    pub(super) fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let sum = bytes.split_off(bytes.len().checked_sub(DIGEST)?);
        if blake3::hash(&bytes).as_bytes().as_slice() != sum {
            return None;
        }
        let mut rest = Rest(bytes.strip_prefix(MAGIC)?);
        let archive = match rest.byte()? {
            0 => None,
            _ => Some(rest.array()?),
        };
        let length = usize::try_from(rest.number()?).ok()?;
        let left_out = rest.take(length)?.to_vec();
        let left_out = (!left_out.is_empty()).then_some(left_out);
        let nodes = bytes.len() - rest.0.len();
        Some(Self {
            archive,
            left_out,
            bytes,
            nodes,
        })
    }

    /// The nodes in their order.
    pub(super) fn nodes(&self) -> Nodes<'_> {
        Nodes {
            rest: Rest(self.bytes.get(self.nodes..).unwrap_or_default()),
            path: Vec::new(),
        }
    }
}

impl Digests {
    /// Bytes of all files that it has, each name for itself.
    pub(super) fn content_bytes(&self) -> u64 {
        let content = self.nodes().filter(|node| node.kind == Kind::Regular);
        let sizes = content.filter_map(|node| Some(node.content?.size));
        sizes.fold(0, u64::saturating_add)
    }
}

/// Reads nodes one after the other.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    rest: Rest<'a>,
    path: Vec<u8>,
}

impl Iterator for Nodes<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        // END is no kind.
        let kind = kind(self.rest.byte()?)?;
        let shared = usize::try_from(self.rest.number()?).ok()?;
        let length = usize::try_from(self.rest.number()?).ok()?;
        self.path.truncate(shared);
        self.path.extend_from_slice(self.rest.take(length)?);
        let metadata = match self.rest.byte()? {
            0 => None,
            _ => Some(self.rest.metadata()?),
        };
        let content = match kind {
            Kind::Regular | Kind::Symlink => Some(Content {
                size: self.rest.number()?,
                modified: Timestamp {
                    seconds: i64::from_le_bytes(self.rest.array()?),
                    nanoseconds: u32::from_le_bytes(self.rest.array()?),
                },
                digest: self.rest.array()?,
            }),
            _ => None,
        };
        Some(Node {
            path: self.path.clone(),
            kind,
            metadata,
            content,
        })
    }
}

#[derive(Debug)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn metadata(&mut self) -> Option<Metadata> {
        let mut short = || u32::try_from(self.number()?).ok();
        let (mode, uid, gid, major, minor) = (short()?, short()?, short()?, short()?, short()?);
        Some(Metadata {
            mode,
            uid,
            gid,
            major,
            minor,
            same_as: self.number()?,
            attributes: match self.byte()? {
                0 => None,
                _ => Some(self.array()?),
            },
        })
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => 1,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::CharacterDevice => 4,
        Kind::BlockDevice => 5,
        Kind::Fifo => 6,
        Kind::Socket => 7,
    }
}

fn kind(code: u8) -> Option<Kind> {
    Some(match code {
        1 => Kind::Regular,
        2 => Kind::Directory,
        3 => Kind::Symlink,
        4 => Kind::CharacterDevice,
        5 => Kind::BlockDevice,
        6 => Kind::Fifo,
        7 => Kind::Socket,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
