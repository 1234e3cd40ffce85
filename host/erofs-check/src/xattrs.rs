//! The extended attributes behind an inode.

use crate::bytes::{Image, align};
use crate::refusal::{Refusal, Rule};

/// Bytes of the header.
const HEADER: u64 = 12;

/// The marks of overlayfs that a directory has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// It has deletions.
    pub(crate) origin: bool,
}

/// Checks the attributes of the inode at `at`, which has `inode` bytes itself. Answers the bytes of both.
pub(crate) fn check(
    image: &Image<'_>,
    at: u64,
    inode: u64,
    is_directory: bool,
) -> Result<(u64, Marks), Refusal> {
    let count = u64::from(image.u16(at + 2));
    let mut marks = Marks::default();
    if count == 0 {
        return Ok((inode, marks));
    }
    let start = at + inode;
    let end = start + HEADER + 4 * (count - 1);
    image.take(start, end - start, Rule::XattrList)?;
    image.zeros(start, start + HEADER, Rule::XattrList)?;
    // A list without any would be no list.
    Rule::XattrList.check(count > 1, at + 2)?;
    let mut before: Option<(u8, &[u8])> = None;
    let mut next = start + HEADER;
    while next < end {
        let rule = Rule::XattrList;
        let head = image.take(next, 4, rule)?;
        let [length, prefix, low, high] = head else {
            return Err(rule.at(next));
        };
        let (length, value) = (
            u64::from(*length),
            u64::from(u16::from_le_bytes([*low, *high])),
        );
        let used = next + 4 + length + value;
        let after = align(used, 4);
        rule.check(after <= end, next)?;
        image.zeros(used, after, rule)?;
        let name = image.take(next + 4, length, rule)?;
        let value = image.take(next + 4 + length, value, rule)?;
        rule.check(before.is_none_or(|before| before < (*prefix, name)), next)?;
        before = Some((*prefix, name));
        check_name(*prefix, name, next)?;
        check_mark(*prefix, name, value, is_directory, next)?;
        marks.origin |= *prefix == 4 && name == b"overlay.origin";
        next = after;
    }
    Ok((end - at, marks))
}

fn check_name(prefix: u8, name: &[u8], at: u64) -> Result<(), Refusal> {
    let holds = match prefix {
        // `system.posix_acl_access` and `system.posix_acl_default`.
        2 | 3 => name.is_empty(),
        // `user.`, `trusted.` and `security.`.
        1 | 4 | 6 => !name.is_empty() && !name.contains(&0),
        _ => false,
    };
    Rule::XattrName.check(holds, at)
}

/// Overlayfs acts upon its marks: a redirect or a copy without content in a layer would show other files.
fn check_mark(
    prefix: u8,
    name: &[u8],
    value: &[u8],
    is_directory: bool,
    at: u64,
) -> Result<(), Refusal> {
    let Some(mark) = name.strip_prefix(b"overlay.") else {
        return Ok(());
    };
    let holds = match (prefix, mark) {
        (4, b"opaque") => is_directory && value == b"y",
        (4, b"origin") => is_directory && value.is_empty(),
        (1 | 4, _) => false,
        _ => true,
    };
    Rule::OverlayMark.check(holds, at)
}
