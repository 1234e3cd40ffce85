//! The drivers that ship with Mica, as components: built by the build script and part of the program, so that one
//! binary works with no other file.
//!
//! Invariant: bytes only.

/// Drivers by name, in the order in which a store without a driver tries them.
pub const DRIVERS: &[(&str, &[u8])] = &[
    (
        "overlay",
        include_bytes!(concat!(env!("OUT_DIR"), "/overlay.wasm")),
    ),
    ("vfs", include_bytes!(concat!(env!("OUT_DIR"), "/vfs.wasm"))),
];

/// The component that makes a full driver of any ProtoDriver.
pub const NAIVE_DIFF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/naive-diff.wasm"));
