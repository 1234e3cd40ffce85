//! The image as bytes.

use crate::checksum::crc32c;
use crate::directories;
use crate::format::{
    ARCHIVE_DEVICE, BLOCK, BLOCK_BITS, CHUNK_INDEX, COMPATIBLE, FIRST_INODE, INCOMPATIBLE, INODE,
    INODE_STEP, LONG_INDEXES, Layout, MAGIC, NOWHERE, SLOT_NUMBER, SUPERBLOCK, align, device,
};
use crate::place::{Index, Inode};
use crate::tree::{Content, Data, Kind, TOP};
use crate::xattrs;
use alloc::vec::Vec;

/// Bytes that are handed on at a time, unless one inode has more.
const PIECE_BYTES: usize = 128 << 10;
/// Where the checksum is, and what it is of: the block that begins with the superblock.
const CHECKSUM: core::ops::Range<usize> = 1028..1032;
const CHECKED: core::ops::Range<usize> = 1024..1536;

/// The archive that an image points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its bytes.
    pub size_bytes: u64,
    /// Its SHA-256, which binds image and archive.
    pub sha256: [u8; 32],
}

#[expect(
    clippy::indexing_slicing,
    reason = "nodes and inodes are never taken out of their lists, and content has the size that was counted: less would \
              be another image"
)]
impl Index {
    /// Writes the image, in pieces from its beginning to its end.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write<E>(
        &self,
        archive: &Archive,
        out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pieces = Pieces {
            out,
            buffer: Vec::new(),
            done: 0,
        };
        self.write_superblock(archive, &mut pieces.buffer);
        for (number, inode) in self.inodes.iter().enumerate() {
            pieces.fill_to(inode.at);
            self.write_inode(number, inode, &mut pieces.buffer);
            pieces.hand_on(PIECE_BYTES)?;
        }
        pieces.fill_to(self.blocks_at);
        for inode in self.inodes.iter().filter(|inode| inode.blocks > 0) {
            pieces.fill_to(inode.block * BLOCK);
            let bytes = self.bytes(inode);
            let full = whole_blocks(inode, &bytes);
            pieces.buffer.extend_from_slice(&bytes[..full]);
            pieces.hand_on(PIECE_BYTES)?;
        }
        pieces.fill_to(self.length);
        pieces.hand_on(1)
    }

    fn write_superblock(&self, archive: &Archive, out: &mut Vec<u8>) {
        let root = self.inodes[TOP].at / INODE_STEP;
        fill(out, SUPERBLOCK);
        put(out, &MAGIC.to_le_bytes());
        put(out, &[0; 4]);
        put(out, &COMPATIBLE.to_le_bytes());
        put(out, &[BLOCK_BITS, 0]);
        put(out, &narrow::<u16>(root).to_le_bytes());
        put(out, &self.nodes().to_le_bytes());
        put(out, &[0; 12]);
        put(out, &narrow::<u32>(self.length / BLOCK).to_le_bytes());
        put(out, &[0; 8]);
        // The archive's digest tells images apart as well as a random number would, and is the same each time.
        put(out, &archive.sha256[..16]);
        put(out, &[0; 16]);
        put(out, &INCOMPATIBLE.to_le_bytes());
        put(out, &[0; 2]);
        put(out, &ARCHIVE_DEVICE.to_le_bytes());
        put(out, &SLOT_NUMBER.to_le_bytes());
        fill(out, SUPERBLOCK + 128);
        for byte in archive.sha256 {
            put(out, &[digit(byte >> 4), digit(byte & 15)]);
        }
        let blocks = archive.size_bytes.div_ceil(BLOCK);
        put(out, &narrow::<u32>(blocks).to_le_bytes());
        put(out, &narrow::<u32>(self.length / BLOCK).to_le_bytes());
        fill(out, FIRST_INODE);
    }

    fn write_inode(&self, number: usize, inode: &Inode, out: &mut Vec<u8>) {
        let node = &self.tree.nodes[inode.id];
        let attributes = &node.attributes;
        put(out, &(1 | (inode.layout as u16) << 1).to_le_bytes());
        put(out, &xattrs::count(&attributes.xattrs).to_le_bytes());
        put(out, &inode.mode.to_le_bytes());
        put(out, &[0; 2]);
        put(out, &inode.size.to_le_bytes());
        put(out, &content_word(inode, &node.kind).to_le_bytes());
        put(out, &narrow::<u32>(number as u64 + 1).to_le_bytes());
        put(out, &attributes.uid.to_le_bytes());
        put(out, &attributes.gid.to_le_bytes());
        put(out, &attributes.seconds.to_le_bytes());
        put(out, &attributes.nanoseconds.to_le_bytes());
        put(out, &inode.names.to_le_bytes());
        put(out, &[0; 16]);
        xattrs::write(&attributes.xattrs, out);
        let body = INODE + xattrs::area(&attributes.xattrs);
        match (inode.layout, &node.kind) {
            (Layout::Chunks, Kind::Other(Content::File(data))) => {
                let gap = align(body, CHUNK_INDEX) - body;
                out.extend((0..gap).map(|_| 0));
                write_chunks(inode, data, out);
            }
            (Layout::Inline, _) => {
                let bytes = self.bytes(inode);
                put(out, &bytes[whole_blocks(inode, &bytes)..]);
            }
            _ => {}
        }
    }

    /// The content that the image holds of a node.
    fn bytes(&self, inode: &Inode) -> Vec<u8> {
        match &self.tree.nodes[inode.id].kind {
            Kind::Directory(_) => directories::write(&self.entries(inode)),
            Kind::Other(Content::Symlink(target)) => target.clone(),
            Kind::Other(_) => Vec::new(),
        }
    }
}

/// Bytes of an inode's content that lie in blocks of their own: all of a directory's, whose last block may not be full.
fn whole_blocks(inode: &Inode, bytes: &[u8]) -> usize {
    narrow::<usize>(inode.blocks * BLOCK).min(bytes.len())
}

/// Where the content of an inode begins, or what it is instead.
fn content_word(inode: &Inode, kind: &Kind) -> u32 {
    match (kind, inode.chunks) {
        (Kind::Other(Content::File(_)), Some(chunks)) => LONG_INDEXES | (chunks.bits - 9),
        (Kind::Other(Content::CharacterDevice(major, minor)), _)
        | (Kind::Other(Content::BlockDevice(major, minor)), _) => device(*major, *minor),
        _ if inode.blocks > 0 => narrow(inode.block),
        _ if inode.layout == Layout::Inline => NOWHERE,
        _ => 0,
    }
}

fn write_chunks(inode: &Inode, data: &Data, out: &mut Vec<u8>) {
    let Some(chunks) = inode.chunks else { return };
    for index in 0..chunks.count {
        let address = chunks.address(data, index);
        let device = match address {
            NOWHERE => 0,
            _ => ARCHIVE_DEVICE,
        };
        put(out, &[0; 2]);
        put(out, &device.to_le_bytes());
        put(out, &address.to_le_bytes());
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

/// Fills up with zeros to a place of the image, whose beginning `out` is.
fn fill(out: &mut Vec<u8>, at: u64) {
    out.resize(narrow(at), 0);
}

/// A number that was checked to fit; another one in its place would be another image.
fn narrow<T: TryFrom<u64, Error: core::fmt::Debug>>(number: u64) -> T {
    T::try_from(number).expect("checked when the tree was settled")
}

fn digit(half: u8) -> u8 {
    match half {
        0..=9 => b'0' + half,
        _ => b'a' + half - 10,
    }
}

/// Hands the image on in pieces.
struct Pieces<F> {
    out: F,
    buffer: Vec<u8>,
    /// Bytes that were handed on.
    done: u64,
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> Pieces<F> {
    /// Fills up with zeros to a place of the image.
    fn fill_to(&mut self, at: u64) {
        let length = narrow(at.saturating_sub(self.done));
        if length > self.buffer.len() {
            self.buffer.resize(length, 0);
        }
    }

    /// Hands on what there is, if it has `least` bytes.
    #[expect(
        clippy::indexing_slicing,
        reason = "the buffer was made long enough: without its checksum the image would be refused"
    )]
    fn hand_on(&mut self, least: usize) -> Result<(), E> {
        if self.buffer.len() < least.max(1) {
            return Ok(());
        }
        if self.done == 0 {
            self.buffer.resize(self.buffer.len().max(CHECKED.end), 0);
            let sum = crc32c(&self.buffer[CHECKED]);
            self.buffer[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
        }
        (self.out)(&self.buffer)?;
        self.done += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

// The top is the first node, and so the first inode.
const _: () = assert!(TOP == 0);
