//! Drivers in OCI registries: pushed, found and pulled.
//!
//! A registry is a stranger: what it sends is bounded before it is read, and compared with its digest before anything else is made
//! of it. What is read and written is the layout that the tools for WebAssembly share: a manifest with a configuration of
//! [`layout::CONFIG`] and one layer of [`layout::LAYER`]. The protocol is that of the OCI distribution specification, 1.1.
//!
//! Invariant: nothing leaves this crate as pulled whose digest is not the one that was asked for, or that was told; a password goes to
//! no host but the registry and the one that the registry names for tokens, and never without TLS unless that was allowed.
//!
//! See docs/decisions/0066-a-registry-is-asked-by-the-client.md.

mod blobs;
mod challenge;
mod credentials;
mod digest;
mod error;
mod layout;
mod pull;
mod push;
mod reference;
mod registry;
mod transport;
mod watch;

pub use credentials::Credentials;
pub use digest::Digest;
pub use error::{Error, Kind};
pub use layout::Facts;
pub use pull::Pulled;
pub use push::{Offer, Pushed};
pub use reference::Reference;
pub use registry::{Plain, Registry};
pub use watch::Passing;
