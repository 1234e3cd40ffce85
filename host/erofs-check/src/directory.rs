//! The entries of a directory.

use crate::bytes::{BLOCK, Image};
use crate::inode::Inode;
use crate::refusal::{Refusal, Rule};

/// Bytes of an entry without its name.
const ENTRY: usize = 12;

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) number: u64,
    pub(crate) entry_type: u8,
}

/// Hands the entries of a directory to `take`, with the place to name in a refusal.
pub(crate) fn each<'a>(
    image: &Image<'a>,
    inode: &Inode,
    mut take: impl FnMut(Entry<'a>, u64) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (full, tail) = inode.bytes(image)?;
    let blocks = full.chunks(usize::try_from(BLOCK).unwrap_or(1));
    let blocks = blocks.chain([tail]).filter(|block| !block.is_empty());
    let mut blocks = blocks.peekable();
    let mut before: Option<&[u8]> = None;
    // Bytes that the block before had left.
    let mut room = 0;
    while let Some(block) = blocks.next() {
        let is_last = blocks.peek().is_none();
        let used = each_of_block(block, is_last, inode.at, |entry| {
            if before.is_none_or(|name| name < entry.name) {
                // The first of a block would have gone into the one before, had it fitted.
                Rule::Entries.check(ENTRY + entry.name.len() > room, inode.at)?;
                room = 0;
                before = Some(entry.name);
                return take(entry, inode.at);
            }
            Err(Rule::Order.at(inode.at))
        })?;
        room = usize::try_from(BLOCK).unwrap_or(0).saturating_sub(used);
    }
    Ok(())
}

/// Answers the bytes that the entries take.
fn each_of_block<'a>(
    block: &'a [u8],
    is_last: bool,
    at: u64,
    mut take: impl FnMut(Entry<'a>) -> Result<(), Refusal>,
) -> Result<usize, Refusal> {
    let refuse = || Rule::Entries.at(at);
    let first = offset(block, 0).ok_or_else(refuse)?;
    let names = block.get(first..).ok_or_else(refuse)?;
    Rule::Entries.check(first > 0 && first.is_multiple_of(ENTRY), at)?;
    let count = first / ENTRY;
    // The last name ends with the directory, or with the first zero.
    let end = match is_last {
        true => block.len(),
        false => {
            let zero = names.iter().position(|byte| *byte == 0);
            first + zero.unwrap_or(names.len())
        }
    };
    let rest = block.get(end..).unwrap_or_default();
    Rule::Entries.check(rest.iter().all(|byte| *byte == 0), at)?;
    let mut start = first;
    for index in 0..count {
        let next = match index + 1 < count {
            true => offset(block, index + 1).ok_or_else(refuse)?,
            false => end,
        };
        let head = block.get(index * ENTRY..(index + 1) * ENTRY);
        let (Some(head), Some(name)) = (head, block.get(start..next)) else {
            return Err(refuse());
        };
        let ([number @ .., _, _, entry_type, 0], true) = (head, next <= end) else {
            return Err(refuse());
        };
        let is_name =
            (1..=255).contains(&name.len()) && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
        Rule::Name.check(is_name, at)?;
        let number = number.try_into().map_or(u64::MAX, u64::from_le_bytes);
        take(Entry {
            name,
            number,
            entry_type: *entry_type,
        })?;
        start = next;
    }
    Ok(end)
}

/// Where the name of an entry begins.
fn offset(block: &[u8], index: usize) -> Option<usize> {
    match block.get(index * ENTRY + 8..index * ENTRY + 10)? {
        [low, high] => Some(usize::from(u16::from_le_bytes([*low, *high]))),
        _ => None,
    }
}
