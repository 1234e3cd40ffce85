//! What only btrfs has: subvolumes, snapshots of them, and counts of what they occupy.
//!
//! Invariant: descriptors and single names; a plain directory is never taken for the subvolume that it lies in.

mod arguments;
mod changes;
mod nested;
mod quota;
mod search;
mod subvolume;
#[cfg(test)]
mod tests;

pub use changes::measure_changes;
pub use nested::{destroy_tree, snapshot_tree};
pub use quota::{Quota, Usage, enable_quota, quota, set_limit, usage};
pub use subvolume::{
    create, destroy, id_of, is_read_only, is_subvolume, set_read_only, snapshot, start_sync,
};

pub(crate) use subvolume::is_top;

/// The magic number of btrfs.
pub const MAGIC: u32 = 0x9123_683e;
