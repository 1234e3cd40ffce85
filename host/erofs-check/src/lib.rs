//! Reads an EROFS image whose contents lie in a tar archive, all of it, before the kernel mounts it.
//!
//! The image comes from a sandboxed driver, and the kernel's own checks are made for damaged disks, not for hostile ones.
//! So only what `mica-erofs-index` can write passes: every byte of an image is part of something that was looked at, or
//! zero. That is simple because the writer leaves no choice: inodes lie in the order of a breadth-first walk, each as
//! close to the one before as its last bytes allow, and the blocks behind them in the same order. So nothing can lie over
//! anything else, no inode can be reached that was not looked at, and directories are a tree.
//!
//! The check says which archive the image was made for, by digest and size; whether that archive is the one at hand is the
//! caller's to compare.
//!
//! Invariant: no recursion, no memory by what the image claims (it is at most proportional to the image's own length), one
//! pass, and an answer for any bytes.
//!
//! See docs/decisions/0019-an-index-is-checked-by-its-order.md.

mod bytes;
mod chunks;
mod directory;
mod inode;
mod refusal;
mod superblock;
#[cfg(test)]
mod tests;
mod walk;
mod xattrs;

pub use refusal::{Refusal, Rule};

/// What an image says of itself, once all of it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of the archive that it was made for.
    pub archive_sha256: [u8; 32],
    /// That archive's blocks of 512 bytes.
    pub archive_blocks: u32,
    /// Its inodes.
    pub inodes: u64,
}

/// Checks an image.
///
/// # Errors
/// [`Refusal`], which names the rule that the image breaks, and where.
pub fn check(image: &[u8]) -> Result<Facts, Refusal> {
    let image = bytes::Image::new(image)?;
    let facts = superblock::check(&image)?;
    walk::check(&image, &facts)?;
    Ok(facts)
}
