//! The 512 bytes of a tar header, field by field.
//!
//! Invariant: a header is written with its checksum and read only if its checksum is right.

use super::{BLOCK_BYTES, Kind, number};

/// A header block.
pub type Block = [u8; BLOCK_BYTES];

/// Where a field lies in the block: offset and length.
#[derive(Clone, Copy, Debug)]
pub struct Field(pub usize, pub usize);

/// Path, or its last part.
pub const NAME: Field = Field(0, 100);
/// Permission bits.
pub const MODE: Field = Field(100, 8);
/// Owner.
pub const UID: Field = Field(108, 8);
/// Group.
pub const GID: Field = Field(116, 8);
/// Bytes of content.
pub const SIZE: Field = Field(124, 12);
/// Seconds since 1970.
pub const MTIME: Field = Field(136, 12);
/// Sum of all bytes.
pub const CHECKSUM: Field = Field(148, 8);
/// Type of the entry.
pub const TYPE: Field = Field(156, 1);
/// Target of a link.
pub const LINK: Field = Field(157, 100);
/// Format and its version.
pub const MAGIC: Field = Field(257, 8);
/// Major number of a device.
pub const MAJOR: Field = Field(329, 8);
/// Minor number of a device.
pub const MINOR: Field = Field(337, 8);
/// First part of the path in ustar.
pub const PREFIX: Field = Field(345, 155);
/// First part of the path in star's own format.
const STAR_PREFIX: Field = Field(345, 131);
/// Star's mark.
const STAR_MAGIC: Field = Field(508, 4);
/// GNU keeps times where ustar has the prefix.
const GNU_TIMES: [Field; 2] = [Field(345, 12), Field(357, 12)];

const GNU: &[u8] = b"ustar  \0";

/// The bytes of a field.
#[must_use]
#[expect(
    clippy::indexing_slicing,
    reason = "fields are constants within a block"
)]
pub fn field(block: &Block, Field(offset, length): Field) -> &[u8] {
    &block[offset..offset + length]
}

/// The bytes of a text field up to its first NUL.
#[must_use]
pub fn text(block: &Block, at: Field) -> &[u8] {
    let bytes = field(block, at);
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// What a header that is written says; every number fits its field or is clamped to it.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    /// Path, or its last part; cut at 100 bytes.
    pub name: &'a [u8],
    /// First part of the path, without the slash between; cut at 155 bytes.
    pub prefix: &'a [u8],
    /// Target of a link; cut at 100 bytes.
    pub link: &'a [u8],
    /// Type flag.
    pub type_flag: u8,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// Seconds since 1970.
    pub seconds: u64,
    /// Device numbers; without any the fields stay empty.
    pub device: Option<(u32, u32)>,
}

/// Writes a ustar header.
#[must_use]
pub fn encode(plain: &Plain<'_>) -> Block {
    let mut header = tar::Header::new_ustar();
    if let Some(fields) = header.as_ustar_mut() {
        put(&mut fields.name, plain.name);
        put_octal(&mut fields.mode, plain.mode.into());
        put_octal(&mut fields.uid, plain.uid.into());
        put_octal(&mut fields.gid, plain.gid.into());
        put_octal(&mut fields.size, plain.size);
        put_octal(&mut fields.mtime, plain.seconds);
        fields.typeflag = [plain.type_flag];
        put(&mut fields.linkname, plain.link);
        if let Some((major, minor)) = plain.device {
            put_octal(&mut fields.dev_major, major.into());
            put_octal(&mut fields.dev_minor, minor.into());
        }
        put(&mut fields.prefix, plain.prefix);
    }
    let (sum, _) = sums(header.as_bytes());
    // By tradition it has six digits, a NUL and a space; the crate's own writes seven digits, and archives have digests.
    let checksum = &mut header.as_old_mut().cksum;
    put(checksum, &number::octal::<6>(sum.into()));
    put(&mut checksum[6..], b"\0 ");
    *header.as_bytes()
}

/// Copies what fits.
fn put(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Writes a number in octal digits, the largest that fits at most, and a NUL. The crate's own would change to base 256.
fn put_octal<const BYTES: usize>(field: &mut [u8; BYTES], value: u64) {
    match BYTES {
        8 => put(field, &number::octal::<7>(value)),
        _ => put(field, &number::octal::<11>(value)),
    }
    if let Some(last) = field.last_mut() {
        *last = 0;
    }
}

/// The sums of all bytes, those of the checksum field taken as spaces: of unsigned bytes, and of signed ones, which
/// some old programs wrote.
fn sums(block: &Block) -> (u32, i32) {
    let mut unsigned = 0u32;
    let mut signed = 0i32;
    for byte in block {
        unsigned += u32::from(*byte);
        signed += i32::from(byte.cast_signed());
    }
    for byte in field(block, CHECKSUM) {
        unsigned = unsigned + 32 - u32::from(*byte);
        signed = signed + 32 - i32::from(byte.cast_signed());
    }
    (unsigned, signed)
}

/// Whether the checksum of a header is right.
#[must_use]
pub fn is_sound(block: &Block) -> bool {
    let (unsigned, signed) = sums(block);
    number::parse(field(block, CHECKSUM))
        .is_some_and(|sum| sum == i64::from(unsigned) || sum == i64::from(signed))
}

/// The path of a header, with its prefix where the format has one.
#[must_use]
pub fn full_name(block: &Block) -> Vec<u8> {
    let prefix = prefix(block);
    let name = text(block, NAME);
    if prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// The type flag.
#[must_use]
pub fn type_of(block: &Block) -> u8 {
    field(block, TYPE).first().copied().unwrap_or(0)
}

/// Whether a header has the fields that GNU's old format adds.
#[must_use]
pub fn is_gnu(block: &Block) -> bool {
    field(block, MAGIC) == GNU
}

/// Whether a header has the numbers of a device: those of before ustar have no place for them.
#[must_use]
pub fn has_device(block: &Block) -> bool {
    is_gnu(block) || field(block, MAGIC).starts_with(b"ustar\0")
}

fn prefix(block: &Block) -> &[u8] {
    let magic = field(block, MAGIC);
    if is_gnu(block) {
        // Go before 1.8 wrote a prefix under GNU's mark; then the times there are no numbers.
        let times = GNU_TIMES
            .iter()
            .all(|at| number::parse(field(block, *at)).is_some());
        return if times { &[] } else { text(block, PREFIX) };
    }
    if !magic.starts_with(b"ustar\0") {
        return &[];
    }
    if field(block, STAR_MAGIC) == b"tar\0" {
        text(block, STAR_PREFIX)
    } else {
        text(block, PREFIX)
    }
}

/// The type flag of a kind.
#[must_use]
pub fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharacterDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}
