//! The interfaces of `mica:host`, each in the shape that a driver's bindings have.
//!
//! Invariant: a function fails with the code with which the host fails.

mod attributes;
pub mod btrfs;
pub mod config;
pub mod directory;
mod failure;
mod file;
pub mod filesystem;
pub mod home;
pub mod images;
pub mod log;
pub mod mounts;
pub mod streams;

pub(crate) use failure::{failed, refused};

/// Bytes that are taken or given in one call: the host's `page_bytes`.
pub(crate) const PAGE_BYTES: usize = 256 << 10;

/// What a handle's glue in a component would need. No native program gets there.
macro_rules! no_glue {
    ($($resource:ty),*) => {$(
        impl $resource {
            /// For the glue of components.
            #[doc(hidden)]
            pub fn from_handle(_handle: u32) -> Self {
                unreachable!("only a component has numbers for handles")
            }
            /// For the glue of components.
            #[doc(hidden)]
            pub fn take_handle(&self) -> u32 {
                unreachable!("only a component has numbers for handles")
            }
            /// For the glue of components.
            #[doc(hidden)]
            pub fn handle(&self) -> u32 {
                unreachable!("only a component has numbers for handles")
            }
        }
    )*};
}
pub(crate) use no_glue;
