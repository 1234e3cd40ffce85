//! The drivers that ship with Mica, as components: built by the build script and part of the program, so that one
//! binary works with no other file.
//!
//! Invariant: bytes only.

/// Drivers by name.
pub const DRIVERS: &[(&str, &[u8])] = &[
    (
        "btrfs",
        include_bytes!(concat!(env!("OUT_DIR"), "/btrfs.wasm")),
    ),
    (
        "erofs",
        include_bytes!(concat!(env!("OUT_DIR"), "/erofs.wasm")),
    ),
    (
        "overlay",
        include_bytes!(concat!(env!("OUT_DIR"), "/overlay.wasm")),
    ),
    ("vfs", include_bytes!(concat!(env!("OUT_DIR"), "/vfs.wasm"))),
];

/// What drivers of the program may import beyond the standard grants, by name: grants by their names.
pub const GRANTS: &[(&str, &[&str])] = &[("btrfs", &["btrfs"]), ("erofs", &["images"])];

/// The component that makes a full driver of any ProtoDriver.
pub const NAIVE_DIFF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/naive-diff.wasm"));
