//! Write a Mica storage driver in Rust.
//!
//! A driver is a type that implements [`Driver`], named in one line: `mica_sdk::export_proto!(MyDriver);`. Such a driver
//! is given its diffs by the host's naive-diff component. A driver that knows a better way implements [`DiffDriver`] too
//! and says `mica_sdk::export_full!(MyDriver);`; one that compares trees but can tell what no one has touched implements
//! [`views::Compared`] instead.
//!
//! Everything that reads and writes layers ([`archive`], [`walk`], [`diff`], [`apply`], [`copy`]) is generic over the
//! small traits of [`tree`]. Within a component these are the host's handles; in tests, and natively, anything else.
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
pub mod tree;
pub mod views;
pub mod walk;

pub use bindings::host_functions::mica::host;
pub use bindings::proto::mica::driver::types::{
    CreateOptions, Description, Error, HostFailure, OwnContent, Stack,
};
pub use driver::{DiffDriver, Driver};
pub use error::{Doing, Result};
pub use host::directory::{
    AttributeChanges, Attributes, Copied, Entry, Node, NodeKind, Ownership, Timestamp, Xattr,
};
pub use host::types::{Change, ChangeKind, Code, Failure};
