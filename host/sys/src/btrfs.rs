//! What only btrfs has: subvolumes, snapshots of them, and counts of what they occupy.
//!
//! Invariant: descriptors and single names; a plain directory is never taken for the subvolume that it lies in.

mod arguments;
mod changes;
mod difference;
mod mark;
mod nested;
mod quota;
mod root;
mod search;
mod subvolume;
#[cfg(test)]
mod tests;

pub use changes::measure_changes;
pub use difference::{Since, since};
pub use mark::{Lost, find_lost, mark, unmark};
pub use nested::{destroy_tree, snapshot_tree};
pub use quota::{
    Quota, Usage, enable_quota, quota, remove_stale_groups, set_limit_within, usage_within,
};
pub use subvolume::{
    create, destroy, id_of, is_read_only, is_subvolume, set_read_only, snapshot, start_sync,
};

pub(crate) use mark::{is_mark, mark_copy};
pub(crate) use subvolume::{is_placeholder, is_top};

/// The magic number of btrfs.
pub const MAGIC: u32 = 0x9123_683e;
