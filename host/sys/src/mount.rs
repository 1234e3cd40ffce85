//! Mounts that are built from descriptors, stay invisible until they are attached, and vanish when
//! they are dropped.
//!
//! Invariant: no option is left to a kernel's default, and no option string is ever cut short.

mod attach;
mod bind;
mod classic;
mod error;
mod image;
mod mountinfo;
mod namespace;
mod overlay;
mod raw;
mod roots;
mod statmount;
mod table;
#[cfg(test)]
mod tests;

pub use attach::{Attached, DetachedMount, Unmount, mount_id, unmount};
pub use bind::{Access, bind};
pub use error::MountError;
pub use image::image;
pub use namespace::{in_user_namespace, opaque_xattr, origin_xattr};
pub use overlay::{MAX_LOWERS, Overlay, overlay};
pub use roots::{Shown, root_of, shown_below};
pub use table::{MountEntry, mounts_below};

pub(crate) use overlay::{Way, way};
pub(crate) use statmount::has_statmount;
