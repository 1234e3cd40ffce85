//! One inode, and what follows it.

use crate::bytes::{BLOCK, Image, align};
use crate::chunks;
use crate::refusal::{Refusal, Rule};
use crate::superblock::STEP;
use crate::xattrs::{self, Marks};

/// Bytes of an extended inode.
const INODE: u64 = 64;
/// No block.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Directory,
    Symlink,
    Device,
    /// A character device 0:0.
    Deletion,
    Fifo,
}

/// An inode that was checked by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inode {
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    /// What an entry of a directory says of the type.
    pub(crate) entry_type: u8,
    pub(crate) size: u64,
    pub(crate) names: u32,
    /// The first of its blocks, and their number.
    pub(crate) block: u32,
    pub(crate) blocks: u64,
    /// Where its last bytes lie, if beside it, and how many they are.
    pub(crate) tail: (u64, u64),
    pub(crate) marks: Marks,
}

/// The layouts.
const PLAIN: u16 = 0;
const INLINE: u16 = 2;
const CHUNKS: u16 = 4;

/// Checks the inode that begins at the earliest at `earliest` and, by the entry that was found first, at `at`. It is the
/// `number`th, from 1 on. Answers it with its end.
pub(crate) fn check(
    image: &Image<'_>,
    at: u64,
    earliest: u64,
    number: u32,
    archive_blocks: u32,
) -> Result<(Inode, u64), Refusal> {
    image.take(at, INODE, Rule::Place)?;
    let format = image.u16(at);
    let layout = format >> 1;
    let known = format & 1 == 1 && matches!(layout, PLAIN | INLINE | CHUNKS);
    Rule::Format.check(known, at)?;
    let (kind, entry_type) = kind(image, at)?;
    check_fields(image, at, number)?;
    let (body, marks) = xattrs::check(image, at, INODE, kind == Kind::Directory)?;
    let size = image.u64(at + 8);
    let word = image.u32(at + 16);
    let mut inode = Inode {
        at,
        kind,
        entry_type,
        size,
        names: image.u32(at + 44),
        block: word,
        blocks: 0,
        tail: (at + body, 0),
        marks,
    };
    let end = match kind {
        Kind::Directory | Kind::Symlink => inode.check_bytes(layout, word, earliest, body)?,
        Kind::Regular if size > 0 => {
            Rule::Layout.check(layout == CHUNKS, at)?;
            Rule::Place.check(at == earliest, at)?;
            chunks::check(image, at, at + body, size, word, archive_blocks)?
        }
        _ => {
            let is_empty = size == 0 && layout == PLAIN;
            let is_bare = word == 0 || kind == Kind::Device;
            Rule::Layout.check(is_empty && is_bare, at)?;
            Rule::Place.check(at == earliest, at)?;
            at + body
        }
    };
    if kind == Kind::Deletion {
        check_deletion(image, at, body)?;
    }
    if kind == Kind::Symlink {
        Rule::Target.check((1..=4095).contains(&size), at)?;
    }
    image.take(at, end - at, Rule::Place)?;
    Ok((inode, end))
}

fn kind(image: &Image<'_>, at: u64) -> Result<(Kind, u8), Refusal> {
    Ok(match (image.u16(at + 4) >> 12, image.u32(at + 16)) {
        (0o10, _) => (Kind::Regular, 1),
        (0o04, _) => (Kind::Directory, 2),
        (0o02, 0) => (Kind::Deletion, 3),
        (0o02, _) => (Kind::Device, 3),
        (0o06, _) => (Kind::Device, 4),
        (0o01, _) => (Kind::Fifo, 5),
        (0o12, _) => (Kind::Symlink, 7),
        _ => return Err(Rule::Kind.at(at + 4)),
    })
}

fn check_fields(image: &Image<'_>, at: u64, number: u32) -> Result<(), Refusal> {
    image.zeros(at + 6, at + 8, Rule::Inode)?;
    Rule::Inode.check(image.u32(at + 20) == number, at + 20)?;
    Rule::Inode.check(image.u32(at + 40) <= 999_999_999, at + 40)?;
    image.zeros(at + 48, at + 64, Rule::Inode)
}

/// Mode and type, size and device were looked at; owner and time are zero, and it has one name.
fn check_deletion(image: &Image<'_>, at: u64, body: u64) -> Result<(), Refusal> {
    let is_bare = image.u16(at + 4) & 0o7777 == 0 && image.u32(at + 44) == 1 && body == INODE;
    Rule::Deletion.check(is_bare, at)?;
    image.zeros(at + 24, at + 44, Rule::Deletion)
}

impl Inode {
    /// Checks where the bytes of a directory or a target lie, as far as the inode tells it. Their last ones are beside the
    /// inode, unless they would lie in two blocks wherever it went. Answers the end of what is beside it.
    fn check_bytes(
        &mut self,
        layout: u16,
        word: u32,
        earliest: u64,
        body: u64,
    ) -> Result<u64, Refusal> {
        let at = self.at;
        // An image is shorter than this, and so no sum overflows.
        Rule::Layout.check((1..1 << 41).contains(&self.size), at + 8)?;
        let tail = (self.size - 1) % BLOCK + 1;
        let fits = |at: u64| (at + body) % BLOCK + tail <= BLOCK;
        let moved = align(align(earliest + body, BLOCK) - body, STEP);
        let (place, is_beside) = match (fits(earliest), fits(moved)) {
            (true, _) => (earliest, true),
            (false, true) => (moved, true),
            (false, false) => (earliest, false),
        };
        Rule::Place.check(at == place, at)?;
        let asked = if is_beside { INLINE } else { PLAIN };
        Rule::Layout.check(layout == asked, at)?;
        if !is_beside {
            self.blocks = self.size.div_ceil(BLOCK);
            return Ok(at + body);
        }
        self.blocks = (self.size - 1) / BLOCK;
        Rule::Layout.check(self.blocks > 0 || word == NOWHERE, at + 16)?;
        self.tail.1 = tail;
        Ok(at + body + tail)
    }

    /// The bytes of a directory or a target: those of its blocks, and those beside it.
    pub(crate) fn bytes<'a>(&self, image: &Image<'a>) -> Result<(&'a [u8], &'a [u8]), Refusal> {
        let (at, length) = self.tail;
        let full = match length {
            0 => self.size,
            _ => self.size - length,
        };
        let start = u64::from(self.block) * BLOCK;
        let full = match full {
            0 => &[][..],
            _ => image.take(start, full, Rule::Blocks)?,
        };
        Ok((full, image.take(at, length, Rule::Place)?))
    }
}
