//! Numbers of the format.

/// Bytes of a block: those of a tar.
pub(crate) const BLOCK: u64 = 512;
/// The same as an exponent.
pub(crate) const BLOCK_BITS: u8 = 9;
/// Where the superblock is.
pub(crate) const SUPERBLOCK: u64 = 1024;
/// Where the only device slot is, counted in slots.
pub(crate) const SLOT_NUMBER: u16 = 9;
/// Where the root's inode is: it has 16 bits for its number, so it comes first.
pub(crate) const FIRST_INODE: u64 = 1280;
/// Inodes lie at multiples of this; the number of an inode counts these.
pub(crate) const INODE_STEP: u64 = 32;
/// Bytes of an extended inode.
pub(crate) const INODE: u64 = 64;
/// Bytes of the header of extended attributes.
pub(crate) const XATTR_HEADER: u64 = 12;
/// Bytes of an entry of a directory without its name.
pub(crate) const ENTRY: u64 = 12;
/// Bytes of a chunk index.
pub(crate) const CHUNK_INDEX: u64 = 8;
/// The address of a hole, and of content that has no full block.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// The superblock's magic number.
pub(crate) const MAGIC: u32 = 0xe0f5_e1e2;
/// The superblock has a checksum; inodes have their own time.
pub(crate) const COMPATIBLE: u32 = 1 | 2;
/// Files in chunks; a table of devices.
pub(crate) const INCOMPATIBLE: u32 = 4 | 8;
/// Chunk indexes of eight bytes, in the chunk format of an inode.
pub(crate) const LONG_INDEXES: u32 = 0x20;
/// The device of the archive.
pub(crate) const ARCHIVE_DEVICE: u16 = 1;

/// How the content of an inode lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In blocks, or none.
    Plain = 0,
    /// The last bytes behind the inode, what comes before in blocks.
    Inline = 2,
    /// In chunks.
    Chunks = 4,
}

/// Bits of a mode that tell the type.
pub(crate) const DIRECTORY: u16 = 0o040_000;
pub(crate) const REGULAR: u16 = 0o100_000;
pub(crate) const SYMLINK: u16 = 0o120_000;
pub(crate) const CHARACTER: u16 = 0o020_000;
pub(crate) const BLOCK_DEVICE: u16 = 0o060_000;
pub(crate) const FIFO: u16 = 0o010_000;

/// The type of an inode with this mode in the entry of a directory.
pub(crate) fn entry_type(mode: u16) -> u8 {
    match mode & 0o170_000 {
        REGULAR => 1,
        DIRECTORY => 2,
        CHARACTER => 3,
        BLOCK_DEVICE => 4,
        FIFO => 5,
        _ => 7,
    }
}

/// A device number as the kernel's `new_encode_dev` gives it.
pub(crate) fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The next multiple of `step`, which is a power of two.
pub(crate) fn align(value: u64, step: u64) -> u64 {
    (value + step - 1) & !(step - 1)
}
