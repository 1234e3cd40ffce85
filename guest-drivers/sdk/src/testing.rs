//! A driver in `cargo test`: without a component, a daemon or root.
//!
//! ```text
//! let store = mica_sdk::testing::Store::<MyDriver>::new()?;
//! store.create("base", None)?;
//! let view = store.get("base", Access::ReadOnly)?;       // what the driver asked to be mounted, as a value
//! ```
//!
//! Invariant: the store is `mica_native`'s; only the type that it asks is made here.

use crate::Exported;
pub use mica_native::{Refused, View, open_directory};

/// Layers of the driver `D` in a temporary directory.
pub type Store<D> = mica_native::Store<Exported<D>>;
