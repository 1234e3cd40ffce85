//! The drivers that ship with Mica, as components: built by the build script and part of the program, so that one
//! binary works with no other file.
//!
//! Invariant: a table and bytes only.

mod table;

pub use table::{DRIVERS, Driver};

// `COMPONENTS`, in the order of the table.
include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The component that makes a full driver of any ProtoDriver.
pub const NAIVE_DIFF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/naive-diff.wasm"));

/// The drivers with their components.
pub fn components() -> impl Iterator<Item = (&'static Driver, &'static [u8])> {
    DRIVERS.iter().zip(COMPONENTS.iter().copied())
}

/// The component of a driver.
#[must_use]
pub fn component(name: &str) -> Option<&'static [u8]> {
    let mut all = components();
    all.find_map(|(driver, component)| (driver.name == name).then_some(component))
}
