//! Images as archives, out and in, and whether two archives hold the same tree: what a client needs to bring layers from one place to
//! another and to prove that they arrived.
//!
//! An image archive is a tar file that holds an OCI image layout, Docker's `manifest.json`, or both
//! (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>, `docker save`). What is written here has both, as
//! Docker's own of version 25 and later, so that `docker load`, `ctr images import`, `podman load` and skopeo take it.
//!
//! Invariant: an archive comes from anyone. What it says of sizes and digests is checked before it is believed, documents are
//! bounded, and no name in it becomes a path.

mod digest;
mod documents;
mod error;
mod file;
mod image;
mod layer;
mod select;
mod tree;
mod write;

pub use digest::{Digest, chain_id};
pub use documents::{ImageName, Platform};
pub use error::Error;
pub use file::ImageFile;
pub use image::{Image, Wanted};
pub use layer::Layer;
pub use tree::{Difference, Tree};
pub use write::{Packed, Writer, Written};

/// What can come of an archive.
pub type Result<T, E = Error> = std::result::Result<T, E>;
