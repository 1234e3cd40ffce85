//! The drivers that ship with Mica. The build script builds them from this table, and everything else that has a list of them
//! reads it: what they may import, in which order they are tried, what `mica doctor` asks, which suites run.
//!
//! Invariant: data only; the build script includes this file.

/// A driver that ships with Mica.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// What it calls itself, and what its folder in `guest-drivers` is called.
    pub name: &'static str,
    /// Its crate.
    pub package: &'static str,
    /// What it may import beyond the standard grants: grants by their names.
    pub grants: &'static [&'static str],
    /// Its place among the drivers that are tried in turn for a store that names none: the number that it has in the list of
    /// Docker's graphdriver package (aufs 0, btrfs 1, devicemapper 2, overlay 3, vfs 4). Without one it is tried after these.
    pub place: Option<u32>,
}

/// All of them, by name.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "btrfs",
        package: "mica-driver-btrfs",
        grants: &["btrfs"],
        place: Some(1),
    },
    Driver {
        name: "erofs",
        package: "mica-driver-erofs",
        grants: &["images"],
        place: None,
    },
    Driver {
        name: "overlay",
        package: "mica-driver-overlay",
        grants: &[],
        place: Some(3),
    },
    Driver {
        name: "vfs",
        package: "mica-driver-vfs",
        grants: &[],
        place: Some(4),
    },
];
