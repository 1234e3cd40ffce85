//! `mica:host/filesystem`: facts about the file system of the temporary directory.
//!
//! Invariant: what only a kernel with rights could tell is missing, with that reason.

use super::failed;
pub use crate::generated::host_functions::mica::host::filesystem::{
    Feature, Identity, Space, Support,
};
use crate::mica::host::types::Failure;
use crate::store::running;
use rustix::fs::{StatFs, StatVfs, statfs, statvfs};

/// Magic numbers with the names that the contract has for them; there are more in the host.
const NAMES: &[(u32, &str)] = &[
    (0xef53, "extfs"),
    (0x0102_1994, "tmpfs"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlayfs"),
];

/// Identifies the file system of the home.
pub fn identify() -> Result<Identity, Failure> {
    let found: StatFs = statfs(running()?.base()).map_err(failed("identify the file system"))?;
    // The kernel's numbers have 32 bits, whatever the platform keeps them in.
    let magic = u32::try_from(found.f_type & 0xffff_ffff).unwrap_or(0);
    let known = NAMES.iter().find(|(number, _)| *number == magic);
    Ok(Identity {
        magic,
        name: known.map_or("<unknown>", |(_, name)| name).to_owned(),
    })
}

/// Reads the room on it.
pub fn measure() -> Result<Space, Failure> {
    let found: StatVfs = statvfs(running()?.base()).map_err(failed("measure the file system"))?;
    Ok(Space {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_bytes: found.f_bfree.saturating_mul(found.f_frsize),
        total_inodes: found.f_files,
        free_inodes: found.f_ffree,
    })
}

/// Tells whether a feature is there: directory entries tell types wherever tests run; nothing is mounted.
pub fn supports(feature: Feature) -> Result<Support, Failure> {
    running()?;
    Ok(match feature {
        Feature::DType | Feature::Overlay | Feature::OverlayNativeDiff => Support::Available,
        Feature::Reflink | Feature::Images => {
            Support::Missing("a native test does not try it: `mica driver test` does".to_owned())
        }
    })
}
