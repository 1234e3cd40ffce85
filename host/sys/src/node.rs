//! Operations on one node: a descriptor, or an open directory and one name in it.
//!
//! Invariant: nothing follows a symbolic link, blocks on a pipe or opens a device, and no open crosses
//! a mount. What reads or sets attributes by name sees the top of a mount on that name, as the kernel
//! does: only who owns the mount namespace could put one there.

mod attributes;
mod create;
mod link;
mod list;
mod open;
#[cfg(test)]
mod tests;

pub use attributes::{
    Attributes, Kind, Timestamp, set_mode, set_mode_fd, set_modified, set_modified_fd, set_owner,
    set_owner_fd, stat, stat_fd,
};
pub use create::{
    create_device, create_directory, create_fifo, create_regular, create_socket, create_symlink,
    create_whiteout, settle_owner,
};
pub use link::{exchange, link, read_link, remove_directory, remove_file, rename, replace};
pub use list::{Run, names, names_after};
pub use open::{
    open_directory, open_directory_along, open_mounted, open_regular, open_regular_at_once,
};

pub(crate) use create::disinherit;
pub(crate) use list::{LISTING_BYTES, reopen};
