//! Write a Mica storage driver in Rust.
//!
//! A driver is a type that implements [`Driver`], named in one line: `mica_sdk::export_proto!(MyDriver);`. Such a driver
//! is given its diffs by the host's naive-diff component. A driver that knows a better way implements [`DiffDriver`] too
//! and says `mica_sdk::export_full!(MyDriver);`; one that compares trees but can tell what no one has touched implements
//! [`views::Compared`] instead.
//!
//! Everything that reads and writes layers ([`archive`], [`walk`], [`diff`], [`apply`], [`copy`]) is generic over the
//! small traits of [`tree`]. Within a component these are the host's handles; in a native program, `mica_native`'s; in tests,
//! anything else. A driver's own tests call it by `testing::Store`.
//!
//! Invariant: no `std::fs`, no environment, no threads, no clocks, no random numbers; nothing is kept between calls.

pub mod apply;
pub mod archive;
pub mod bindings;
pub mod copies;
pub mod copy;
pub mod diff;
pub mod driver;
pub mod error;
mod export;
pub mod index;
pub mod left_out;
pub mod stacked;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod tree;
pub mod views;
pub mod walk;

pub use bindings::host_functions::mica::host;
pub use bindings::proto::mica::driver::types::{
    CreateOptions, Description, Error, HostFailure, OwnContent, Stack,
};
pub use driver::{DiffDriver, Driver};
pub use error::{Doing, Result};
#[doc(hidden)]
pub use export::Exported;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub use export::{has_diffs, is_driver};
pub use host::directory::{
    AttributeChanges, Attributes, Copied, Entry, Node, NodeKind, Ownership, Timestamp, Xattr,
};
pub use host::types::{Change, ChangeKind, Code, Failure};
