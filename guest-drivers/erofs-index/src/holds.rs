//! What EROFS holds, and what it does not.

use crate::chunks::Chunks;
use crate::tree::{Attributes, Content, NAME_BYTES, Segment, Unfit, Xattr};
use crate::xattrs;

/// The largest value of an extended attribute, by the kernel's limit, and the longest name without its prefix.
const VALUE_BYTES: usize = 64 << 10;
const XATTR_NAME_BYTES: usize = 255;

/// Memory that attributes take, by estimate.
pub(crate) fn cost(attributes: &Attributes) -> usize {
    let of = |xattr: &Xattr| NAME_BYTES + xattr.name.len() + xattr.value.len();
    attributes.xattrs.iter().map(of).sum()
}

/// Refuses attributes that EROFS does not hold.
pub(crate) fn check(attributes: &Attributes) -> Result<(), Unfit> {
    if attributes.mode > 0o7777 || attributes.nanoseconds > 999_999_999 {
        return Err(Unfit::Value);
    }
    for xattr in &attributes.xattrs {
        let (_, rest) = xattrs::split(&xattr.name).ok_or(Unfit::Xattr)?;
        if xattr.value.len() >= VALUE_BYTES || rest.len() > XATTR_NAME_BYTES {
            return Err(Unfit::Xattr);
        }
    }
    match xattrs::fits(&attributes.xattrs) {
        true => Ok(()),
        false => Err(Unfit::Xattr),
    }
}

/// Refuses content that EROFS does not hold; answers what memory it takes.
pub(crate) fn check_content(content: &Content) -> Result<usize, Unfit> {
    match content {
        Content::File(data) => {
            Chunks::of(data)?;
            Ok(data.segments.len() * size_of::<Segment>())
        }
        Content::Symlink(target) if (1..=4095).contains(&target.len()) && !target.contains(&0) => {
            Ok(target.len())
        }
        // The device 0:0 is a deletion, which only `hide` makes.
        Content::CharacterDevice(0, 0) | Content::Symlink(_) => Err(Unfit::Value),
        Content::CharacterDevice(major, minor) | Content::BlockDevice(major, minor) => {
            match *major < 1 << 12 && *minor < 1 << 20 {
                true => Ok(0),
                false => Err(Unfit::Value),
            }
        }
        Content::Fifo => Ok(0),
    }
}
